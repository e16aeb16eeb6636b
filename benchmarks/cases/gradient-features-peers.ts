// Projected gradient features against the Python libraries that do only this, pythia-160m shape, each with the batches that suit it.
import { createInstances } from "../../lib/data/instances";
import { formatNumber } from "../../lib/report/format";
import { requireEqual } from "../agreement";
import { atLeast, type Bar, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { openReference, python, type Reference } from "../reference";
import { languageModel, type LanguageShape, mnliLengths, pythia160m, randomRows, type Subject } from "../shapes";
import { type Contender, interleaved, timeRows } from "../timing";
import { featureRun, lossTolerance, type Workload, withThroughput } from "./gradient-features";

export interface Settings {
  readonly shape: LanguageShape;
  readonly dtypes: readonly ("float32" | "bfloat16")[];
  readonly workloads: readonly Workload[];
  /** Token budgets tried once for each contender; the fastest is then measured. */
  readonly budgets: readonly number[];
  readonly rounds: number;
}

const rank = 16;
const equal: Workload = { name: "16 × 128", lengths: Array<number>(16).fill(128), batch: 8 };
const mnli: Workload = { name: "MNLI lengths", lengths: mnliLengths, batch: 8 };
const quickSettings: Settings = {
  shape: pythia160m,
  dtypes: ["float32"],
  workloads: [equal],
  budgets: [1024],
  rounds: 1,
};
const fullSettings: Settings = {
  shape: pythia160m,
  dtypes: ["float32", "bfloat16"],
  workloads: [equal, mnli],
  budgets: [512, 1024],
  rounds: 3,
};
const least = { float32: 1.25, bfloat16: 1.1 } as const;
/** Peer, and the variable that names a Python which has it. */
const peers = [
  ["bergson", "ATTRIBUTION_BERGSON_PYTHON"],
  ["dattri", "ATTRIBUTION_DATTRI_PYTHON"],
] as const;

export const gradientFeaturesPeers: Benchmark = {
  name: "gradient-features-peers",
  title: "projected gradients of all linear layers of the blocks, rank 16 × 16: against bergson and dattri",
  run: (context) => measurePeers(context.quick ? quickSettings : fullSettings, context),
};

interface Peer {
  readonly name: string;
  readonly reference: Reference;
}

export async function measurePeers(settings: Settings, context: Context): Promise<Measurement> {
  const notes = [
    "logix-ai 0.1.1 was not run: it wants a Python below 3.11",
    "traker was not run: it holds the whole gradient of each instance (162 million values here) before it projects, so it does other work",
  ];
  const opened = await openPeers(notes);
  try {
    return await measured(settings, opened, context, notes);
  } finally {
    for (const { reference } of opened) await reference[Symbol.asyncDispose]();
  }
}

async function openPeers(notes: string[]): Promise<Peer[]> {
  const opened: Peer[] = [];
  for (const [name, variable] of peers) {
    try {
      const reference = await openReference("gradient_peers.py", { interpreter: process.env[variable] ?? python() });
      if (reference.versions[name] !== undefined) {
        opened.push({ name, reference });
        continue;
      }
      await reference[Symbol.asyncDispose]();
      notes.push(leftOut(name, variable, "this Python has no such package"));
    } catch (error) {
      notes.push(leftOut(name, variable, (error as Error).message.split(". ")[0]));
    }
  }
  return opened;
}

const leftOut = (name: string, variable: string, why: string): string =>
  `${name} is left out: ${why}; name a Python that has it, ${variable}=/path/to/python`;

async function measured(
  settings: Settings,
  opened: readonly Peer[],
  context: Context,
  notes: string[],
): Promise<Measurement> {
  const rows: Row[] = [];
  for (const dtype of settings.dtypes) {
    await using subject = await languageModel(settings.shape, dtype);
    for (const { reference } of opened) await reference.ask("load", { directory: subject.directory, dtype });
    for (const workload of settings.workloads)
      rows.push(...(await rowsOf(settings, subject, opened, workload, context, notes)));
  }
  const bars = barsOf(rows);
  return {
    rows,
    bars,
    notes,
    ratio: bars[0]?.value ?? Number.NaN,
    unit: "the fastest peer's tokens per second (the least of the float32 groups)",
    versions: Object.assign(
      {},
      ...opened.map(({ name, reference }) => ({ [name]: reference.versions[name] })),
    ) as Record<string, string>,
  };
}

async function rowsOf(
  settings: Settings,
  { model }: Subject,
  opened: readonly Peer[],
  workload: Workload,
  { log }: Context,
  notes: string[],
): Promise<Row[]> {
  const rows = randomRows(settings.shape.vocab_size, workload.lengths);
  const instances = createInstances({ kind: "causalLM", rows });
  let loss = Number.NaN;
  const ours = async (budget: number): Promise<number> => {
    const run = await featureRun(model, instances, rank, budget);
    loss = run.loss;
    return run.taken;
  };
  const contenders: Contender[] = [await best("ours", ours, settings.budgets)];
  for (const { name, reference } of opened) {
    const ask = async (budget: number): Promise<number> => {
      const answer = await reference.ask<{ seconds: number; loss: number }>("project", { peer: name, rows, budget });
      requireEqual(`${name}'s sum of losses`, [loss], [answer.loss], lossTolerance[model.dtype]);
      return answer.seconds;
    };
    try {
      contenders.push(await best(name, ask, settings.budgets));
    } catch (error) {
      notes.push(`${name}, ${model.dtype}, ${workload.name}: left out: ${(error as Error).message.slice(0, 200)}`);
    }
  }
  return timeRows(
    `pythia-160m ${model.dtype}, ${workload.name}`,
    contenders,
    await interleaved(contenders, settings.rounds, log),
  ).map((row) => withThroughput(row, workload));
}

/** The contender with the budget that was fastest, each tried after a first run that does not count. */
async function best(
  name: string,
  run: (budget: number) => Promise<number>,
  budgets: readonly number[],
): Promise<Contender> {
  await run(budgets[0]);
  let [chosen, least] = [budgets[0], Number.POSITIVE_INFINITY];
  for (const budget of budgets.length > 1 ? budgets : []) {
    const taken = await run(budget);
    if (taken < least) [chosen, least] = [budget, taken];
  }
  return { name, run: () => run(chosen), note: `${formatNumber(chosen)} tokens a batch` };
}

/** The fastest peer over ours in each group that has one; the least of float32 first. */
function barsOf(rows: readonly Row[]): Bar[] {
  const groups = [...new Set(rows.filter(({ name }) => name !== "ours").map(({ group }) => group))];
  const ratios = groups.map((group) => ({
    group,
    ratio: Math.min(
      ...rows
        .filter((row) => row.group === group && row.name !== "ours")
        .map(({ timesOurs }) => timesOurs ?? Number.NaN),
    ),
  }));
  return (["float32", "bfloat16"] as const).flatMap((dtype) => {
    const own = ratios.filter(({ group }) => group.includes(dtype)).sort((a, b) => a.ratio - b.ratio);
    return own.map(({ group, ratio }) => atLeast(`${group}: times the fastest peer`, ratio, least[dtype]));
  });
}
