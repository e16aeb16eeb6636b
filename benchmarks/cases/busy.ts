// How threads wait and how many there are: the default against fixed settings, on a quiet machine and beside one busy loop per core.
import { availableParallelism } from "node:os";
import { atMost, type Bar, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { besideLoops, type BusyJob, runBusy } from "../busy";
import { classifier, mnliLengths, opt125m, randomRows, type Shape } from "../shapes";
import { schedule, spreadOf, timeRows } from "../timing";

export interface Settings {
  readonly large: Shape;
  readonly small: Shape;
  /** Processes of each setting; each measures `repeats` runs. */
  readonly rounds: number;
  readonly repeats: number;
  readonly loops: number;
  /** Runs a job in a process of its own and gives its seconds. */
  readonly run: typeof runBusy;
}

/** The first is the library's default: threads sleep after a bounded wait. */
const environments: readonly { readonly name: string; readonly settings: Readonly<Record<string, string>> }[] = [
  { name: "default", settings: {} },
  { name: "one thread", settings: { ATTRIBUTION_THREADS: "1" } },
  { name: "all threads, asleep at once", settings: { OMP_WAIT_POLICY: "passive" } },
  { name: "all threads, libgomp's own long wait", settings: { GOMP_SPINCOUNT: "300000" } },
];

/** A small classifier, where splitting the work costs more than it saves. */
const smallShape: Shape = {
  ...opt125m,
  vocab_size: 2048,
  hidden_size: 128,
  word_embed_proj_dim: 128,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  ffn_dim: 512,
  max_position_embeddings: 128,
};

const fullSettings: Settings = {
  large: opt125m,
  small: smallShape,
  rounds: 3,
  repeats: 3,
  loops: availableParallelism(),
  run: runBusy,
};

export const busy: Benchmark = {
  name: "busy",
  title: "threads: the default against fixed settings, alone and beside one busy loop per core",
  run: (context) => measureBusy(context.quick ? { ...fullSettings, rounds: 1, repeats: 2 } : fullSettings, context),
};

export async function measureBusy(settings: Settings, context: Context): Promise<Measurement> {
  await using large = await classifier(settings.large);
  await using small = await classifier(settings.small);
  const jobs = jobsOf(settings, large.directory, small.directory);
  const rows: Row[] = [];
  const bars: Bar[] = [];
  for (const [name, job] of jobs)
    for (const loops of [0, settings.loops]) {
      const group = `${name}, ${loops === 0 ? "alone" : `beside ${loops} busy loops`}`;
      const measured = await besideLoops(loops, () => compared(group, job, settings, context));
      rows.push(...measured);
      const best = Math.min(...measured.map(({ median }) => median));
      bars.push(atMost(`${group}: default over the best`, measured[0].median / best, loops === 0 ? 1.1 : 1.5));
    }
  const worst = Math.max(...bars.map(({ value }) => value));
  return { rows, bars, versions: {}, ratio: worst, unit: "the best setting's time, at worst", notes: [] };
}

function jobsOf({ large, small, repeats }: Settings, largeModel: string, smallModel: string): [string, BusyJob][] {
  const rowsOf = (shape: Shape, lengths: readonly number[]): number[][] => randomRows(shape.vocab_size, lengths);
  const few = rowsOf(
    small,
    mnliLengths.slice(0, 40).map((length) => Math.min(length, small.max_position_embeddings)),
  );
  const one = rowsOf(large, [Math.min(128, large.max_position_embeddings)]);
  const batch = rowsOf(large, Array<number>(8).fill(Math.min(128, large.max_position_embeddings)));
  const tiny = { directory: smallModel, rows: few, repeats };
  const whole = { directory: largeModel, repeats };
  return [
    ["tuning 40 rows, small model", { ...tiny, call: "fineTune" }],
    ["integrated gradients of 40 rows, small model", { ...tiny, call: "integratedGradients" }],
    ["EK-FAC of 40 rows, small model", { ...tiny, call: "influence" }],
    ["gradient similarity of 40 rows, small model", { ...tiny, call: "gradientSimilarity" }],
    ["integrated gradients of one row, opt-125m", { ...whole, rows: one, call: "integratedGradients" }],
    ["store of 8 × 128 tokens, opt-125m", { ...whole, rows: batch, call: "buildGradientStore" }],
  ];
}

/** One row for each environment; its runs are spread over the rounds, there and back. */
async function compared(group: string, job: BusyJob, { rounds, run }: Settings, { log }: Context): Promise<Row[]> {
  const taken: number[][] = environments.map(() => []);
  for (const index of schedule(
    environments.map(() => ({})),
    rounds,
  )) {
    const { name, settings } = environments[index];
    const seconds = await run(job, settings);
    taken[index].push(...seconds);
    log(`${group}, ${name}: ${seconds.map((s) => s.toFixed(3)).join(", ")} s`);
  }
  return timeRows(group, environments, taken.map(spreadOf));
}
