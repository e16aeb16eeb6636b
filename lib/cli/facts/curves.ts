// Sufficiency and comprehensiveness of several methods, one question per fact.
import { comprehensiveness } from "../../faithfulness/comprehensiveness";
import { sufficiency } from "../../faithfulness/sufficiency";
import { ablation } from "../../neuron/ablation";
import { activation } from "../../neuron/activation";
import { gradientTimesActivation } from "../../neuron/gradient-times-activation";
import { logProbabilityIncrease } from "../../neuron/log-probability-increase";
import { valueNorm } from "../../neuron/value-norm";
import type { CallOptions } from "../../../types/common";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { NeuronAttribution, NeuronFaithfulness } from "../../../types/results";
import type { Session } from "../session";
import { questionsAt, type Answers, type KnownFact } from "./asking";
import type { Attributed } from "./attributing";
import { rowsOf, siteOf } from "./units";

/** One ranking of units, tested both ways. */
export interface NeuronTest {
  readonly name: string;
  readonly sufficiency: NeuronFaithfulness;
  readonly comprehensiveness: NeuronFaithfulness;
}

export interface CurveSizes {
  readonly neurons: readonly number[];
  readonly heads: readonly number[];
  readonly controls: number;
}

export interface Curves {
  readonly neurons: readonly NeuronTest[];
  readonly heads: readonly NeuronTest[];
}

type Score = (call: CallOptions) => Promise<NeuronAttribution>;

export async function drawCurves(
  session: Session,
  model: Model,
  answers: Answers,
  facts: readonly KnownFact[],
  { scores, rows }: Attributed,
  sizes: CurveSizes,
): Promise<Curves> {
  const questions = questionsAt(
    answers,
    facts.map(({ refining }) => refining[0]),
  );
  const first = rowsOf(
    scores,
    rows.map(([row]) => row),
  );
  const both = (site: "neurons" | "heads"): [string, Score][] => {
    const options = { site, of: "gold" } as const;
    return [
      ["Integrated gradients", async () => Promise.resolve(siteOf(first, model.architecture, site))],
      ["Gradient × activation", (call) => gradientTimesActivation(model, questions, { ...options, ...call })],
      ["Activation", (call) => activation(model, questions, { site, ...call })],
      ["Value norm", (call) => valueNorm(model, questions, { site, ...call })],
    ];
  };
  // Of neurons these two take a head product, or a row through the model, for each of tens of thousands.
  const ofHeads: [string, Score][] = [
    [
      "Log-probability increase",
      (call) => logProbabilityIncrease(model, questions, { site: "heads", of: "gold", ...call }),
    ],
    ["Ablation one by one", (call) => ablation(model, questions, { site: "heads", of: "gold", ...call })],
  ];
  const run = (site: "neurons" | "heads", methods: [string, Score][]) =>
    testAll(session, model, questions, methods, { site, r: sizes[site], controls: sizes.controls });
  return { neurons: await run("neurons", both("neurons")), heads: await run("heads", [...both("heads"), ...ofHeads]) };
}

async function testAll(
  session: Session,
  model: Model,
  questions: Instances,
  methods: readonly [string, Score][],
  { site, r, controls }: { site: string; r: readonly number[]; controls: number },
): Promise<NeuronTest[]> {
  const { seed } = session;
  return session.step(`Sufficiency and comprehensiveness of ${site}, ${methods.length} methods`, async (call) => {
    const tests: NeuronTest[] = [];
    for (const [name, score] of methods) {
      const attribution = await score(call);
      const options = {
        r: r.filter((size) => size <= attribution.layers * attribution.units),
        controls,
        seed,
        ...call,
      };
      tests.push({
        name,
        sufficiency: await sufficiency(model, questions, attribution, options),
        comprehensiveness: await comprehensiveness(model, questions, attribution, options),
      });
    }
    return tests;
  });
}
