// The tests of faithfulness of one subject, as steps: neurons by ablation, instances by tuning again.
import type { SubsetOutputs } from "../../../types/analysis";
import type { Instances } from "../../../types/data";
import type { InstanceAttribution, NeuronAttribution, NeuronCurve, NeuronFaithfulness } from "../../../types/results";
import { comprehensiveness } from "../../faithfulness/comprehensiveness";
import { deletion } from "../../faithfulness/deletion";
import { fineTuningTest, type FineTuningRun, type Subset } from "../../faithfulness/fine-tuning-test";
import { insertion } from "../../faithfulness/insertion";
import { subsetOutputs } from "../../faithfulness/subset-outputs";
import { sufficiency } from "../../faithfulness/sufficiency";
import { rowScores } from "../../results/top";
import type { Step, Workshop } from "../steps";
import type { Subject } from "../subject";
import type { AlignStage } from "./align";
import type { Named } from "./attribute";

export interface NeuronTests {
  readonly name: string;
  readonly site: NeuronAttribution["site"];
  readonly sufficiency: NeuronFaithfulness;
  readonly comprehensiveness: NeuronFaithfulness;
  readonly deletion: NeuronCurve;
  readonly insertion: NeuronCurve;
}

export interface TuningRun extends FineTuningRun {
  /** Undefined of random shares and of all rows. */
  readonly method?: string;
}

export interface TestStage {
  readonly neurons: readonly Step<NeuronTests>[];
  readonly heads: Step<NeuronTests>;
  readonly fineTuning: readonly Step<readonly TuningRun[]>[];
  readonly subsets: Step<SubsetOutputs> | undefined;
}

export function testStage(workshop: Workshop, subject: Subject, aligned: AlignStage): TestStage {
  return {
    neurons: aligned.neurons.map((each) => neuronTests(workshop, subject, subject.queries, each)),
    heads: neuronTests(workshop, subject, subject.queries, aligned.heads),
    fineTuning: fineTuningSteps(workshop, subject, aligned),
    subsets: subsetStep(workshop, subject),
  };
}

/** The four tests of one ranking of units; a ranking is tested at sizes up to the units that it scores. */
export function neuronTests(
  workshop: Workshop,
  { definition: { tests, seed }, tuned }: Subject,
  instances: Instances,
  { name, source }: Named<NeuronAttribution>,
): Step<NeuronTests> {
  const curve = { fractions: tests.fractions, controls: tests.controls, seed };
  return workshop.step({
    stage: "test",
    title: `Neuron tests: ${name}`,
    form: "value",
    from: [tuned, instances.hash, source.key],
    options: { method: "neuronTests", name, sizes: tests.sizes, ...curve },
    tokens:
      instances.tokens.length +
      instances.size * (1 + tests.controls) * 2 * (tests.sizes.length + tests.fractions.length),
    work: async (call) => {
      const [model, attribution] = [await tuned.get(), await source.get()];
      const most = Math.min(
        Math.max(fewestScored(attribution), tests.sizes[0]),
        attribution.layers * attribution.units,
      );
      const options = { r: tests.sizes.filter((size) => size <= most), controls: tests.controls, seed };
      return {
        name,
        site: attribution.site,
        sufficiency: await sufficiency(model, instances, attribution, { ...options, ...call }),
        comprehensiveness: await comprehensiveness(model, instances, attribution, { ...options, ...call }),
        deletion: await deletion(model, instances, attribution, { ...curve, ...call }),
        insertion: await insertion(model, instances, attribution, { ...curve, ...call }),
      };
    },
  });
}

/** Units with a score above 0 in the row that has the fewest: beyond them a ranking says nothing. */
function fewestScored(attribution: NeuronAttribution): number {
  const counts = Array.from({ length: attribution.instances }, (_, row) =>
    rowScores(attribution, row).reduce((count, score) => count + (score > 0 ? 1 : 0), 0),
  );
  return Math.min(...counts);
}

/** One step per ranking and seed, so that an added seed tunes with that seed only. Random shares are drawn once per seed. */
function fineTuningSteps(workshop: Workshop, subject: Subject, aligned: AlignStage): Step<readonly TuningRun[]>[] {
  const request = subject.definition.tests.fineTuning;
  if (request === undefined || (subject.tuning.epochs ?? 3) === 0) return [];
  const names = request.methods ?? aligned.instances.filter(({ role }) => role === "method").map(({ name }) => name);
  const chosen = aligned.instances.filter(({ name }) => names.includes(name));
  return subject.definition.seeds.flatMap((seed) => [
    fineTuningStep(workshop, subject, chosen[0], seed, ["random"], request.fractions),
    ...chosen.map((each) => fineTuningStep(workshop, subject, each, seed, ["most", "least"], request.fractions)),
  ]);
}

function fineTuningStep(
  workshop: Workshop,
  { base, train, queries, tuning }: Subject,
  { name, source }: Named<InstanceAttribution>,
  seed: number,
  subsets: readonly Subset[],
  fractions: readonly number[],
): Step<readonly TuningRun[]> {
  const isRandom = subsets[0] === "random";
  return workshop.step({
    stage: "test",
    title: `Fine-tuning test, seed ${seed}: ${isRandom ? "random shares" : name}`,
    form: "value",
    from: [base.hash, train.hash, queries.hash, ...(isRandom ? [] : [source.key])],
    options: { method: "fineTuningTest", subsets, fractions, seed, tuning },
    tokens:
      3 *
      (tuning.epochs ?? 3) *
      train.tokens.length *
      (1 + subsets.length * fractions.reduce((sum, each) => sum + each, 0)),
    work: async (call) => {
      const options = { fractions, subsets, seeds: [seed], fineTune: { ...tuning, keep: "last" as const } };
      const { runs } = await fineTuningTest(base, train, queries, await source.get(), { ...options, ...call });
      return isRandom ? runs : runs.filter(({ subset }) => subset !== "all").map((run) => ({ ...run, method: name }));
    },
  });
}

/** Outputs of models tuned on random parts, for the linear datamodeling score; undefined where the study does not ask for it. */
function subsetStep(
  workshop: Workshop,
  { definition, base, train, queries, tuning }: Subject,
): Step<SubsetOutputs> | undefined {
  const request = definition.tests.linearDatamodeling;
  if (request === undefined) return undefined;
  const options = { ...request, seed: definition.seed, seeds: [definition.seeds[0]] };
  return workshop.step({
    stage: "test",
    title: `${request.subsets} models tuned on random parts`,
    form: "value",
    from: [base.hash, train.hash, queries.hash],
    options: { method: "subsetOutputs", ...options, tuning },
    tokens: 3 * (tuning.epochs ?? 3) * train.tokens.length * request.fraction * request.subsets,
    work: (call) => subsetOutputs(base, train, queries, { ...options, fineTune: { ...tuning, keep: "last" }, ...call }),
  });
}
