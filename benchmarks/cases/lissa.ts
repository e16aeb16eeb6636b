// LiSSA of 16 queries together against one LiSSA per query in PyTorch: the head and the last MLP, all MLP weights, the head alone.
import { createInstances } from "../../lib/data/instances";
import { influence } from "../../lib/instance/influence";
import type { Parameters } from "../../lib/instance/gradients/parameters";
import { formatNumber } from "../../lib/report/format";
import type { Instances } from "../../types/data";
import { requireEqual } from "../agreement";
import { atLeast, type Bar, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { openReference, type Reference } from "../reference";
import { classifier, mnliLengths, opt125m, randomRows, type Shape, type Subject } from "../shapes";
import { stages } from "../stages";
import { type Contender, interleaved, spreadOf, timeRows } from "../timing";

interface Selection {
  /** As the reference calls it. */
  readonly key: "lastMlp" | "mlp" | "head";
  readonly name: string;
  readonly parameters: Parameters;
  readonly least: number;
  /** Training instances, and recursions that ours makes; fewer than the case's are extrapolated. */
  readonly train: number;
  readonly recursions: number;
  readonly memory: string;
}

export interface Settings {
  readonly shape: Shape;
  readonly queries: number;
  readonly recursions: number;
  readonly selections: readonly Selection[];
  /** Recursions of one query that the reference makes; the rest is extrapolated. */
  readonly sample: number;
  readonly rounds: number;
}

/** The paper's for OPT on MNLI: 0.3 of 10,000 / 8 batches. λ = damping · scale. */
const paper = { damping: 0.03, scale: 1e5, batchSize: 8, recursions: 375 };
/** A ReLU whose input lies within rounding of zero opens in one order of summation only: some 1e-4 of the largest score (see steadyPrompt). */
const scoreTolerance = 1e-3;

/** Three selections of a model of so many layers. */
export function selectionsOf(
  layers: number,
  train: number,
  recursions: { readonly cached: number; readonly full: number },
): Selection[] {
  return [
    {
      key: "lastMlp",
      name: "head + last MLP",
      parameters: ["score", `layers.${layers - 1}.mlp.*`],
      least: 50,
      train,
      recursions: recursions.cached,
      memory: "4 GB",
    },
    {
      key: "mlp",
      name: "all MLP weights",
      parameters: "mlp",
      least: 1.5,
      train: paper.batchSize,
      recursions: recursions.full,
      memory: "6 GB",
    },
    {
      key: "head",
      name: "head",
      parameters: "head",
      least: 1000,
      train,
      recursions: recursions.cached,
      memory: "1 GB",
    },
  ];
}

const quickSettings: Settings = {
  shape: opt125m,
  queries: 16,
  recursions: paper.recursions,
  selections: selectionsOf(12, 64, { cached: 20, full: 1 }),
  sample: 1,
  rounds: 1,
};
const fullSettings: Settings = {
  shape: opt125m,
  queries: 16,
  recursions: paper.recursions,
  selections: selectionsOf(12, 256, { cached: paper.recursions, full: 1 }),
  sample: 2,
  rounds: 2,
};

export const lissa: Benchmark = {
  name: "lissa",
  title: "LiSSA of 16 queries, the paper's 375 recursions of 8 instances: against one LiSSA per query",
  run: (context) => measureLissa(context.quick ? quickSettings : fullSettings, context),
};

interface Side {
  readonly rows: readonly (readonly number[])[];
  readonly labels: readonly number[];
  readonly instances: Instances;
}

export async function measureLissa(settings: Settings, context: Context): Promise<Measurement> {
  await using subject = await classifier(settings.shape);
  await using reference = await openReference("lissa.py");
  await reference.ask("load", { directory: subject.directory });
  const rows: Row[] = [];
  const bars: Bar[] = [];
  const notes: string[] = [];
  for (const selection of settings.selections) {
    const difference = await agreement(settings, selection, subject, reference);
    const measured = await compared(settings, selection, subject, reference, context);
    rows.push(...measured);
    const [recursions, whole, usual] = measured;
    bars.push(
      atLeast(`${selection.name}: times faster, recursions alone`, usual.median / recursions.median, selection.least),
    );
    const whole_ =
      selection.recursions === settings.recursions
        ? `; with everything else of the call ${formatNumber(usual.median / whole.median)} ×`
        : "";
    notes.push(
      `${selection.name}: scores within ${difference.toExponential(1)} of the reference's, relative to the largest${whole_}`,
    );
  }
  return {
    rows,
    bars,
    versions: reference.versions,
    ratio: bars[0].value,
    unit: `faster than one LiSSA per query (${settings.selections[0].name}, recursions alone)`,
    notes: [
      ...notes,
      "beside the recursions a call takes one pass over the training set, which any procedure needs for the training gradients; the cached states come of that pass",
    ],
  };
}

function sideOf({ vocab_size, max_position_embeddings }: Shape, count: number, seed: number): Side {
  const lengths = Array.from({ length: count }, (_, i) =>
    Math.min(mnliLengths[i % mnliLengths.length], max_position_embeddings),
  );
  const rows = randomRows(vocab_size, lengths, seed),
    labels = rows.map((_, i) => i % 3);
  return { rows, labels, instances: createInstances({ kind: "classification", rows, labels }) };
}

const part = ({ rows, labels }: Side, begin: number, end: number) => ({
  rows: rows.slice(begin, end),
  labels: labels.slice(begin, end),
});

/** Batches that are the whole training set have no order: there both must give the same scores. A small scale lets H take part. */
async function agreement(
  { shape }: Settings,
  { key, parameters, memory }: Selection,
  { model }: Subject,
  reference: Reference,
): Promise<number> {
  const [train, query] = [sideOf(shape, paper.batchSize, 0), sideOf(shape, 1, 1)];
  const [damping, scale, recursions] = [0.01, 100, 2];
  const { scores } = await influence(model, train.instances, query.instances, {
    inverse: "lissa",
    parameters,
    damping: damping * scale,
    scale,
    batchSize: paper.batchSize,
    recursions,
    memory,
  });
  const batches = Array.from({ length: recursions }, () => part(train, 0, paper.batchSize));
  const instances = train.rows.map((_, i) => part(train, i, i + 1));
  const answer = await reference.ask<{ scores: number[] }>("lissa", {
    selection: key,
    query: part(query, 0, 1),
    batches,
    damping,
    scale,
    train: instances,
  });
  return requireEqual(key, scores, answer.scores, scoreTolerance);
}

/** Rows: ours, the recursions; ours, the whole call; the reference. */
async function compared(
  settings: Settings,
  selection: Selection,
  { model }: Subject,
  reference: Reference,
  { log }: Context,
): Promise<Row[]> {
  const { shape, queries, recursions, sample, rounds } = settings;
  const { damping, scale, batchSize } = paper;
  const [train, asked] = [sideOf(shape, selection.train, 0), sideOf(shape, queries, 1)];
  const whole: number[] = [];
  const ours = async (): Promise<number> => {
    const { onProgress, end } = stages();
    const start = performance.now();
    const { parameters, memory } = selection;
    await influence(model, train.instances, asked.instances, {
      inverse: "lissa",
      parameters,
      damping: damping * scale,
      scale,
      batchSize,
      recursions: selection.recursions,
      memory,
      onProgress,
    });
    whole.push((performance.now() - start) / 1000);
    return end()["LiSSA"];
  };
  const batches = Array.from({ length: sample }, (_, i) =>
    part(train, (i * batchSize) % selection.train, ((i * batchSize) % selection.train) + batchSize),
  );
  const usual = async (): Promise<number> =>
    (
      await reference.ask<{ seconds: number }>("lissa", {
        selection: selection.key,
        query: part(asked, 0, 1),
        batches,
        damping,
        scale,
      })
    ).seconds;
  const own = recursions / selection.recursions;
  const contenders: Contender[] = [
    {
      name: `ours, ${queries} queries together, ${recursions} recursions`,
      run: ours,
      scale: own,
      note: own === 1 ? "" : `extrapolated from ${selection.recursions}`,
    },
    {
      name: `one LiSSA per query, PyTorch, ${recursions} recursions each`,
      run: usual,
      scale: (queries * recursions) / sample,
      note: `extrapolated from ${sample} of one query`,
    },
  ];
  const group = `${selection.name}, ${selection.train} training instances`;
  const [first, second] = timeRows(group, contenders, await interleaved(contenders, rounds, log));
  const call: Row = {
    group,
    name: `ours, the whole call of ${selection.recursions} recursions`,
    unit: "s",
    ...spreadOf(whole),
    timesOurs: null,
    note: "with the pass over the training set, queries' gradients and scores",
  };
  return [first, call, second];
}
