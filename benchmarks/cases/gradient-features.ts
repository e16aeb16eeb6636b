// Projected gradient features of all linear layers of the blocks against a plain training step in PyTorch on the same weights.
import { createInstances } from "../../lib/data/instances";
import { modulesOf } from "../../lib/instance/gradients/parameters";
import { handleOf } from "../../lib/model/model";
import { native, runNative } from "../../lib/native";
import { formatNumber } from "../../lib/report/format";
import type { ComputeType } from "../../types/architecture";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { requireEqual } from "../agreement";
import { featureWork, trainingWork } from "../arithmetic";
import { atLeast, type Bar, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { openReference, type Reference } from "../reference";
import { languageModel, type LanguageShape, mnliLengths, opt125m, pythia160m, randomRows } from "../shapes";
import { type Contender, interleaved, seconds, timeRows } from "../timing";

export interface Workload {
  readonly name: string;
  readonly lengths: readonly number[];
  /** Rows of the training step's batches. */
  readonly batch: number;
}

export interface Settings {
  readonly models: readonly { readonly name: string; readonly shape: LanguageShape; readonly dtype: ComputeType }[];
  readonly workloads: readonly Workload[];
  readonly rank: number;
  readonly rounds: number;
}

const equal = (count: number, tokens: number, batch: number): Workload => ({
  name: `${batch} × ${tokens}`,
  lengths: Array<number>(count).fill(tokens),
  batch,
});
/** Sums of losses of random models, some 10 nats a token: float32 differs in the order of sums, bfloat16 in 8 bits a logit. */
export const lossTolerance: Readonly<Record<string, number>> = { float32: 1e-5, float64: 1e-5, bfloat16: 1e-2 };
const dtypes = ["float32", "bfloat16"] as const;
const pythia = dtypes.map((dtype) => ({ name: `pythia-160m ${dtype}`, shape: pythia160m, dtype }));
const opt = dtypes.map((dtype) => ({ name: `opt-125m ${dtype}`, shape: opt125m, dtype }));
const headline = { group: "pythia-160m float32, 8 × 128", least: 1.5 };

export const workloads: readonly Workload[] = [
  equal(16, 128, 8),
  { name: "MNLI lengths, batches of 8", lengths: mnliLengths.slice(0, 32), batch: 8 },
  equal(2, 512, 2),
];
const quickSettings: Settings = { models: [pythia[0]], workloads: [equal(8, 128, 8)], rank: 16, rounds: 3 };
const fullSettings: Settings = { models: [...pythia, ...opt], workloads, rank: 16, rounds: 3 };

export const gradientFeatures: Benchmark = {
  name: "gradient-features",
  title: "projected gradients of all linear layers of the blocks, rank 16 × 16: against a plain training step",
  run: (context) => measureFeatures(context.quick ? quickSettings : fullSettings, context),
};

export async function measureFeatures(settings: Settings, context: Context): Promise<Measurement> {
  await using reference = await openReference("training.py");
  const rows: Row[] = [];
  const notes: string[] = [];
  for (const { name, shape, dtype } of settings.models) {
    await using subject = await languageModel(shape, dtype);
    await reference.ask("load", { directory: subject.directory, dtype });
    for (const workload of settings.workloads) {
      const contenders = await contendersOf(subject.model, shape, workload, settings.rank, reference);
      const spreads = await interleaved(contenders, settings.rounds, context.log);
      const measured = timeRows(`${name}, ${workload.name}`, contenders, spreads).map((row) =>
        withThroughput(row, workload),
      );
      rows.push(...measured);
      notes.push(distance(settings, subject.model, workload, measured));
    }
  }
  const bars: Bar[] = ratiosOf(rows)
    .filter(([group]) => group === headline.group)
    .map(([group, ratio]) => atLeast(`${group}: times a training step`, ratio, headline.least));
  return {
    rows,
    bars,
    notes,
    versions: reference.versions,
    ratio: bars[0]?.value ?? ratiosOf(rows)[0][1],
    unit: `a plain training step's tokens per second (${ratiosOf(rows)[0][0]})`,
  };
}

/** Seconds of the training step over ours, group by group. */
function ratiosOf(rows: readonly Row[]): [string, number][] {
  return rows.flatMap(({ group, timesOurs }, i) =>
    i % 2 === 1 ? [[group, timesOurs ?? Number.NaN] as [string, number]] : [],
  );
}

/** The features of instances by the core, without a disk; also the sum of their losses. */
export async function featureRun(
  model: Model,
  instances: Instances,
  rank: number,
  batchTokens: number,
): Promise<{ taken: number; loss: number }> {
  const settings = {
    modules: modulesOf(model.architecture, "linear"),
    rank,
    projection: "gaussian",
    seed: 42,
    reduction: "sum",
    mask: 0,
    bases: new Float32Array(0),
  } as const;
  let losses: Float32Array = new Float32Array(0);
  const taken = await seconds(async () => {
    ({ losses } = await runNative((control) =>
      native().gradientFeatures(handleOf(model), instances, { settings, batchTokens }, control),
    ));
  });
  return { taken, loss: losses.reduce((sum, loss) => sum + loss, 0) };
}

async function contendersOf(
  model: Model,
  shape: LanguageShape,
  { lengths, batch }: Workload,
  rank: number,
  reference: Reference,
): Promise<Contender[]> {
  const rows = randomRows(shape.vocab_size, lengths);
  const instances = createInstances({ kind: "causalLM", rows });
  const batchTokens = 1024;
  const { loss } = await featureRun(model, instances, rank, batchTokens); // and warms the engine
  const train = async (): Promise<number> => {
    const answer = await reference.ask<{ seconds: number; loss: number }>("train", { rows, size: batch });
    requireEqual("the sum of losses", [loss], [answer.loss], lossTolerance[model.dtype]);
    return answer.seconds;
  };
  await reference.ask("train", { rows: rows.slice(0, batch), size: batch });
  return [
    {
      name: "ours, projected gradients",
      run: async () => (await featureRun(model, instances, rank, batchTokens)).taken,
    },
    { name: "training step, PyTorch", run: train },
  ];
}

const tokensOf = ({ lengths }: Workload): number => lengths.reduce((sum, length) => sum + length, 0);

export function withThroughput(row: Row, workload: Workload): Row {
  return {
    ...row,
    note: [row.note, `${formatNumber(tokensOf(workload) / row.median)} tokens/s`]
      .filter((part) => part !== "")
      .join("; "),
  };
}

/** How far from the arithmetic, at equal lengths only: padding makes the training step dearer by what the lengths say. */
function distance({ rank }: Settings, { architecture }: Model, workload: Workload, [, train]: readonly Row[]): string {
  const mean = tokensOf(workload) / workload.lengths.length;
  const floor = trainingWork(architecture, mean) / featureWork(architecture, mean, rank);
  const padded = workload.lengths.reduce(
    (sum, _, i) =>
      sum +
      (i % workload.batch === 0
        ? Math.min(workload.batch, workload.lengths.length - i) *
          Math.max(...workload.lengths.slice(i, i + workload.batch))
        : 0),
    0,
  );
  const possible = (floor * padded) / tokensOf(workload);
  const ratio = train.timesOurs ?? Number.NaN;
  return `${train.group}: the arithmetic allows ${formatNumber(possible)} × (multiply-adds, padding of the training step counted); measured ${formatNumber(ratio)} ×, ${formatNumber(ratio / possible)} of it`;
}
