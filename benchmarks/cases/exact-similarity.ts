// Exact gradient similarity, all MLP weights, unprojected: against one autograd call per instance and a dot product per pair.
import { createInstances } from "../../lib/data/instances";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { loadModel } from "../../lib/model/load-model";
import { formatNumber } from "../../lib/report/format";
import type { Model } from "../../types/model";
import { relativeDifference, requireEqual } from "../agreement";
import { similarityWork } from "../arithmetic";
import { atLeast, atMost, type Bar, type Benchmark, type Context, type Measurement } from "../benchmark";
import { memoryRows } from "../memory";
import { doubles, openReference, type Reference } from "../reference";
import { classifier, mnliLengths, opt125m, randomRows, type Shape, type Subject } from "../shapes";
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

/** Scores are handed out as float32, whatever the model computes in. */
const exactTolerance = 1e-7;
/** Our float32 may lie so many times as far from float64 as PyTorch's own float32 does. */
const mostTimes = 2;
const quickSettings: Settings = {
  shape: opt125m,
  train: 100,
  queries: 32,
  sample: 4,
  rounds: 1,
  budget: 1024,
  measuresMemory: false,
};
const fullSettings: Settings = {
  shape: opt125m,
  train: 1000,
  queries: 32,
  sample: 8,
  rounds: 1,
  budget: 1024,
  measuresMemory: true,
};

export const exactSimilarity: Benchmark = {
  name: "exact-similarity",
  title: "32 queries × 1,000 training instances, all MLP weights, unprojected: against one autograd call per instance",
  run: (context) => measureSimilarity(context.quick ? quickSettings : fullSettings, context),
};

interface Data {
  readonly train: readonly (readonly number[])[];
  readonly queries: readonly (readonly number[])[];
}
interface Answer {
  readonly gradient: number;
  readonly product: number;
  readonly scores: string;
}

export async function measureSimilarity(settings: Settings, context: Context): Promise<Measurement> {
  await using subject = await classifier(settings.shape);
  await using reference = await openReference("gradients.py");
  const data = dataOf(settings);
  const { bars: exactness, notes } = await agreement(settings, subject, reference, data);
  const { parameters } = await reference.ask<{ parameters: number }>("load", {
    directory: subject.directory,
    dtype: "float32",
  });
  const usual = async (): Promise<number> => {
    const { gradient, product } = await asked(reference, part(data, settings.sample));
    return (settings.train + settings.queries) * gradient + settings.train * settings.queries * product;
  };
  const contenders: Contender[] = [
    {
      name: `ours, ${settings.queries} × ${settings.train}`,
      run: () => seconds(() => scoresOf(subject.model, data, settings.budget)),
    },
    {
      name: "one autograd call per instance, a dot product per pair, PyTorch",
      run: usual,
      note: `extrapolated from ${settings.sample} + ${settings.sample} gradients and ${settings.sample ** 2} products of ${formatNumber(parameters)} weights`,
    },
  ];
  const timed = timeRows("MNLI lengths", contenders, await interleaved(contenders, settings.rounds, context.log));
  const ratio = timed[1].timesOurs ?? Number.NaN;
  const jobs = settings.measuresMemory
    ? [
        {
          group: "MNLI lengths",
          directory: subject.directory,
          rows: [...data.train.slice(0, 200), ...data.queries],
          queries: settings.queries,
          budget: settings.budget,
          call: "similarity" as const,
        },
      ]
    : [];
  const memory = await memoryRows(jobs, context.log);
  return {
    rows: [...timed, ...memory.rows],
    ratio,
    unit: "faster than one autograd call per instance and a dot product per pair",
    versions: reference.versions,
    bars: [atLeast("times faster", ratio, 5), ...exactness, ...memory.bars],
    notes: [...notes, distance(subject.model, data, timed[0].median)],
  };
}

function dataOf({ shape, train, queries }: Settings): Data {
  const lengths = Array.from({ length: Math.max(train, queries) }, (_, i) =>
    Math.min(mnliLengths[i % mnliLengths.length], shape.max_position_embeddings),
  );
  return {
    train: randomRows(shape.vocab_size, lengths.slice(0, train)),
    queries: randomRows(shape.vocab_size, lengths.slice(0, queries), 1),
  };
}

const part = ({ train, queries }: Data, count: number): Data => ({
  train: train.slice(0, count),
  queries: queries.slice(0, count),
});
const labels = (side: readonly unknown[]): number[] => side.map((_, i) => i % 3);

async function scoresOf(model: Model, data: Data, budget: number): Promise<Float32Array> {
  const [train, queries] = [data.train, data.queries].map((rows) =>
    createInstances({ kind: "classification", rows, labels: labels(rows) }),
  );
  return (await gradientSimilarity(model, train, queries, { parameters: "mlp", memory: `${budget} MB` })).scores;
}

const asked = (reference: Reference, { train, queries }: Data): Promise<Answer> =>
  reference.ask("similarity", { train, train_labels: labels(train), queries, query_labels: labels(queries) });

/**
 * A sample's scores by both in float64, which must be the same, and in float32, where neither is exact: a ReLU within rounding of zero falls
 * to either side, and a dot product of 57 million float32 numbers rounds. So ours is held to lie as near to float64 as PyTorch's.
 */
async function agreement(
  { sample, budget }: Settings,
  { model, directory }: Subject,
  reference: Reference,
  data: Data,
): Promise<{ bars: Bar[]; notes: string[] }> {
  const some = part(data, sample);
  const theirs = async (dtype: string): Promise<Float64Array> => {
    await reference.ask("load", { directory, dtype });
    return doubles((await asked(reference, some)).scores);
  };
  const [exact, rounded] = [await theirs("float64"), await theirs("float32")];
  using precise = await loadModel(directory, { dtype: "float64" });
  const same = requireEqual(
    "gradient similarity in float64",
    await scoresOf(precise, some, budget),
    exact,
    exactTolerance,
  );
  const [own, other] = [
    relativeDifference(await scoresOf(model, some, budget), exact),
    relativeDifference(rounded, exact),
  ];
  return {
    bars: [
      atMost("float64: relative difference from PyTorch's scores", same, exactTolerance),
      atMost("float32: our distance from float64 over PyTorch's", own / other, mostTimes),
    ],
    notes: [
      `${sample} × ${sample} scores: in float64 ours and PyTorch's differ by ${same.toExponential(1)} of the largest (scores are handed out as float32); in float32 ours lie within ${own.toExponential(1)} of them, PyTorch's within ${other.toExponential(1)}: ` +
        "a ReLU within rounding of zero falls to either side",
    ],
  };
}

function distance({ architecture }: Model, { train, queries }: Data, taken: number): string {
  const tokens = (side: Data["train"]): number => side.reduce((sum, row) => sum + row.length, 0);
  const { gradients, products, dense } = similarityWork(
    architecture,
    tokens(train),
    tokens(queries),
    train.length,
    queries.length,
  );
  const [shown, shownDense] = [products, dense].map((work) => formatNumber(work / 1e12));
  return (
    `the arithmetic: ${formatNumber(gradients / 1e12)} × 10¹² multiply-adds for gradients and ${shown} × 10¹² for products of token pairs (by way of each training instance's dense gradient ${shownDense} × 10¹², which also have to be written); ` +
    `ours makes ${formatNumber((2 * (gradients + products)) / taken / 1e9)} GFLOP/s of it`
  );
}
