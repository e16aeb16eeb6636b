// What splitting scores by unit costs: against the same pairs split by module, and the neuron marginal of a whole block against its scores.
import { createInstances } from "../../lib/data/instances";
import { breakdown } from "../../lib/instance/breakdown";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { jointAttribution } from "../../lib/instance/joint";
import type { Instances } from "../../types/data";
import { atMost, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { languageModel, type LanguageShape, mnliLengths, neoxSmall, randomRows } from "../shapes";
import { type Contender, interleaved, seconds, timeRows } from "../timing";

export interface Settings {
  readonly shape: LanguageShape;
  readonly train: number;
  readonly queries: number;
  /** Instances of each query that both splits take. */
  readonly topK: number;
  readonly rounds: number;
}

const fullSettings: Settings = { shape: neoxSmall, train: 1000, queries: 32, topK: 20, rounds: 5 };
const quickSettings: Settings = { ...fullSettings, train: 100, queries: 8, topK: 5, rounds: 3 };

export const joint: Benchmark = {
  name: "joint",
  title: "joint attribution: against a breakdown of the same pairs, and its neuron marginal against the scores",
  run: (context) => measureJoint(context.quick ? quickSettings : fullSettings, context),
};

export async function measureJoint(settings: Settings, { log }: Context): Promise<Measurement> {
  await using subject = await languageModel(settings.shape, "float32");
  const { model } = subject;
  const instances = (count: number, seed: number): Instances =>
    createInstances({
      kind: "causalLM",
      rows: randomRows(
        settings.shape.vocab_size,
        Array.from({ length: count }, (_, i) => mnliLengths[i % mnliLengths.length]),
        seed,
      ),
    });
  const [train, queries] = [instances(settings.train, 1), instances(settings.queries, 2)];
  const similarity = await gradientSimilarity(model, train, queries, { parameters: "linear" });
  const { topK } = settings;
  const pairs: Contender[] = [
    {
      name: "jointAttribution",
      run: () => seconds(() => jointAttribution(model, train, queries, similarity, { topK })),
    },
    { name: 'breakdown by "module"', run: () => seconds(() => breakdown(model, train, queries, similarity, { topK })) },
  ];
  const block: Contender[] = [
    {
      name: "jointAttribution, units: 0",
      run: () => seconds(() => jointAttribution(model, train, queries, similarity, { units: 0 })),
    },
    {
      name: "gradientSimilarity",
      run: () => seconds(() => gradientSimilarity(model, train, queries, { parameters: "linear" })),
    },
  ];
  const rows: Row[] = [];
  for (const [group, contenders] of [
    [`${settings.queries} × best ${topK} of ${settings.train}`, pairs],
    [`${settings.queries} × ${settings.train}`, block],
  ] as const)
    rows.push(...timeRows(group, contenders, await interleaved(contenders, settings.rounds, log)));
  const [split, marginal] = [rows[0].median / rows[1].median, rows[2].median / rows[3].median];
  return {
    rows,
    ratio: split,
    unit: "the time of a breakdown by module of the same pairs",
    bars: [
      atMost("joint attribution over the breakdown by module of the same pairs", split, 1.3),
      atMost("the neuron marginal of the whole block over its scores", marginal, 2),
    ],
    notes: [
      `${model.parameters} parameters, ${train.tokens.length} training tokens; gradients of all linear modules, exact`,
    ],
    versions: {},
  };
}
