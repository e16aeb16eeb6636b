// Faithfulness of neuron attributions: sufficiency keeps only the chosen units, comprehensiveness takes them away; random units
// beside both.
import { comprehensiveness } from "../../../faithfulness/comprehensiveness";
import { sufficiency } from "../../../faithfulness/sufficiency";
import { rowScores } from "../../../results/top";
import type { NeuronAttribution, NeuronFaithfulness } from "../../../../types/results";
import type { Session } from "../session";
import type { Subject } from "../subject";
import type { AlignmentStage } from "./alignment";
import type { NeuronStage } from "./neurons";

export interface NeuronTest {
  readonly name: string;
  readonly sufficiency: NeuronFaithfulness;
  readonly comprehensiveness: NeuronFaithfulness;
}

export interface NeuronTestStage {
  readonly neurons: readonly NeuronTest[];
  readonly heads: readonly NeuronTest[];
}

export async function testNeurons(
  session: Session,
  subject: Subject,
  neurons: NeuronStage,
  aligned: AlignmentStage,
): Promise<NeuronTestStage> {
  const { neuronSizes, headSizes } = subject.recipe;
  const candidates: readonly (readonly [string, NeuronAttribution, number])[] = [
    ["Integrated gradients (NA)", neurons.integrated, Infinity],
    ["Gradient × activation", neurons.gradientTimesActivation, Infinity],
    ["Activation", neurons.activation, Infinity],
    ...aligned.forTests.map(([name, attribution]) => [name, attribution, fewestScored(attribution)] as const),
  ];
  const tests: NeuronTest[] = [];
  for (const [name, attribution, most] of candidates) {
    const sizes = neuronSizes.filter((r) => r <= Math.max(most, neuronSizes[0])); // beyond its scored neurons a ranking says nothing
    tests.push(await test(session, subject, name, attribution, sizes));
  }
  return {
    neurons: tests,
    heads: [await test(session, subject, "Integrated gradients (heads)", neurons.heads, headSizes)],
  };
}

async function test(
  session: Session,
  { model, queries, recipe }: Subject,
  name: string,
  attribution: NeuronAttribution,
  given: readonly number[],
): Promise<NeuronTest> {
  const r = given.filter((size) => size <= attribution.layers * attribution.units);
  const options = { r, controls: recipe.controls, seed: session.seed };
  return session.step(`Sufficiency and comprehensiveness: ${name}`, async (call) => ({
    name,
    sufficiency: await sufficiency(model, queries, attribution, { ...options, ...call }),
    comprehensiveness: await comprehensiveness(model, queries, attribution, { ...options, ...call }),
  }));
}

/** Neurons with a score above 0 in the query that has the fewest. */
function fewestScored(attribution: NeuronAttribution): number {
  const counts = Array.from({ length: attribution.instances }, (_, row) =>
    rowScores(attribution, row).reduce((count, score) => count + (score > 0 ? 1 : 0), 0),
  );
  return Math.min(...counts);
}
