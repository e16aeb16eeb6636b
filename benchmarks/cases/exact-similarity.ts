// Exact gradient similarity, all MLP weights, unprojected: against one autograd call per instance and a dot product per pair.
import { createInstances } from "../../lib/data/instances";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { formatNumber } from "../../lib/report/format";
import { requireEqual } from "../agreement";
import { atLeast, type Benchmark, type Context, type Measurement } from "../benchmark";
import { memoryRows } from "../memory";
import { floats, openReference, type Reference } from "../reference";
import { classifier, mnliLengths, opt125m, randomRows, type Shape } from "../shapes";
import { type Contender, interleaved, seconds, timeRows } from "../timing";

export interface Settings {
  readonly shape: Shape;
  readonly train: number;
  readonly queries: number;
  /** Training instances and queries that the reference takes gradients of; the rest is extrapolated. */
  readonly sample: number;
  readonly rounds: number;
  /** In MB; its peak is measured where `measuresMemory` says so. */
  readonly budget: number;
  readonly measuresMemory: boolean;
}

/** Sums over 57 million products, relative to the largest score. */
const scoreTolerance = 1e-4;
const quickSettings: Settings = { shape: opt125m, train: 100, queries: 32, sample: 4, rounds: 1, budget: 1024, measuresMemory: false };
const fullSettings: Settings = { shape: opt125m, train: 1000, queries: 32, sample: 8, rounds: 1, budget: 1024, measuresMemory: true };

export const exactSimilarity: Benchmark = {
  name: "exact-similarity",
  title: "32 queries × 1,000 training instances, all MLP weights, unprojected: against one autograd call per instance",
  run: (context) => measureSimilarity(context.quick ? quickSettings : fullSettings, context),
};

export async function measureSimilarity(settings: Settings, context: Context): Promise<Measurement> {
  await using subject = await classifier(settings.shape);
  await using reference = await openReference("gradients.py");
  const { parameters } = await reference.ask<{ parameters: number }>("load", { directory: subject.directory });
  const lengths = Array.from({ length: settings.train }, (_, i) => mnliLengths[i % mnliLengths.length]).map((length) => Math.min(length, settings.shape.max_position_embeddings));
  const rows = { train: randomRows(settings.shape.vocab_size, lengths), queries: randomRows(settings.shape.vocab_size, lengths.slice(0, settings.queries), 1) };
  const labels = (side: readonly unknown[]): number[] => side.map((_, i) => i % 3);
  const instances = (side: number[][]) => createInstances({ kind: "classification", rows: side, labels: labels(side) });
  const [train, queries] = [instances(rows.train), instances(rows.queries)];
  let scores: Float32Array = new Float32Array(0);
  const ours = async (): Promise<number> => seconds(async () => {
    ({ scores } = await gradientSimilarity(subject.model, train, queries, { parameters: "mlp", memory: `${settings.budget} MB` }));
  });
  const contenders: Contender[] = [
    { name: `ours, ${settings.queries} × ${settings.train}`, run: ours },
    { name: "one autograd call per instance, a dot product per pair, PyTorch", run: () => usual(settings, reference, rows, labels, () => scores), note: `extrapolated from ${settings.sample} + ${settings.sample} gradients and ${settings.sample ** 2} products of ${formatNumber(parameters)} weights` },
  ];
  const timed = timeRows("MNLI lengths", contenders, await interleaved(contenders, settings.rounds, context.log));
  const ratio = timed[1].timesOurs ?? Number.NaN;
  const jobs = settings.measuresMemory ? [{ group: "MNLI lengths", directory: subject.directory, rows: [...rows.train.slice(0, 200), ...rows.queries], budget: settings.budget, call: "similarity" as const }] : [];
  const memory = await memoryRows(jobs, context.log);
  return {
    rows: [...timed, ...memory.rows], ratio, unit: "faster than one autograd call per instance and a dot product per pair", versions: reference.versions,
    bars: [atLeast("times faster", ratio, 5), ...memory.bars], notes: [],
  };
}

/** The seconds of all gradients, each taken once, and of all products; checks the sample's scores against ours. */
async function usual({ sample, train, queries }: Settings, reference: Reference, rows: { train: number[][]; queries: number[][] }, labels: (side: readonly unknown[]) => number[], own: () => Float32Array): Promise<number> {
  const [some, asked] = [rows.train.slice(0, sample), rows.queries.slice(0, sample)];
  const answer = await reference.ask<{ gradient: number; product: number; scores: string }>("similarity", { train: some, train_labels: labels(some), queries: asked, query_labels: labels(asked) });
  const scores = own();
  const ours = asked.flatMap((_, q) => some.map((__, z) => scores[q * train + z]));
  requireEqual("gradient similarity", ours, floats(answer.scores), scoreTolerance);
  return (train + queries) * answer.gradient + train * queries * answer.product;
}
