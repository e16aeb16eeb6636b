// A large store on disk asked for the best rows of many queries: against what dd reads of the same file (cold), and against a plain
// float32 product over a block of as many values in memory (warm).
import { execFile } from "node:child_process";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { nativeStore, shardShape } from "../../lib/instance/store/layout";
import { native, runNative } from "../../lib/native";
import { createRandom } from "../../lib/random";
import { formatNumber } from "../../lib/report/format";
import type { NativeScoreParams, NativeStore } from "../../types/native";
import { requireEqual } from "../agreement";
import { atLeast, atMost, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { openReference, type Reference } from "../reference";
import { type Contender, interleaved, timeRows } from "../timing";

export interface Settings {
  readonly rows: number;
  readonly width: number;
  readonly queries: number;
  readonly top: number;
  readonly rounds: number;
  /** Rows of the plain product's block, whose time is scaled up to all rows. */
  readonly block: number;
  readonly budgetMB: number;
  /** Ask in a process of its own, whose peak memory counts, and with an empty page cache, which all of the machine notices. Not in tests. */
  readonly apart: boolean;
}

/** What the child that asks the store gets and gives; see store-query-child.ts. */
export interface StoreJob {
  readonly store: NativeStore;
  readonly width: number;
  readonly queries: number;
  readonly params: NativeScoreParams;
}
export interface StoreAnswer {
  readonly seconds: number;
  readonly peak: number;
  readonly scores: readonly number[];
}

const modules = 9;
const quickSettings: Settings = {
  rows: 100_000,
  width: 2304,
  queries: 32,
  top: 100,
  rounds: 3,
  block: 50_000,
  budgetMB: 1024,
  apart: true,
};
const fullSettings: Settings = {
  rows: 1_000_000,
  width: 2304,
  queries: 32,
  top: 100,
  rounds: 3,
  block: 100_000,
  budgetMB: 1024,
  apart: true,
};
const scoreTolerance = 1e-5;

export const storeQuery: Benchmark = {
  name: "store-query",
  title:
    "32 queries, top 100, over 1,000,000 float16 rows on disk: against dd (cold) and a plain product in memory (warm)",
  run: (context) => measureStoreQuery(context.quick ? quickSettings : fullSettings, context),
};

export async function measureStoreQuery(settings: Settings, context: Context): Promise<Measurement> {
  const folder = await mkdtemp(join(tmpdir(), "attribution-bench-"));
  try {
    await using reference = await openReference("product.py");
    return await measured(settings, folder, reference, context);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measured(
  settings: Settings,
  folder: string,
  reference: Reference,
  context: Context,
): Promise<Measurement> {
  const { rows, width, queries, top, block, budgetMB, apart } = settings;
  const store = await randomStore(folder, settings);
  const bytes = rows * width * 2;
  const ask = new Asked({ store, width, queries, params: paramsOf(top, budgetMB * 2 ** 20) }, apart);
  await requireSameScores(settings, store);
  const mayDrop = apart && (await dropCaches());
  const file = store.shards[0].file;
  const product = async (): Promise<number> =>
    (await reference.ask<{ seconds: number }>("product", { rows: block, width, queries })).seconds;
  await product();
  const cold: Contender[] = [
    {
      name: "ours, cold",
      run: async () => {
        await dropCaches();
        return ask.run();
      },
    },
    {
      name: "dd of the same file, cold",
      run: async () => {
        await dropCaches();
        return read(file);
      },
    },
  ];
  const coldRows = mayDrop ? timeRows("cold", cold, await interleaved(cold, settings.rounds, context.log)) : [];
  await read(file); // into the page cache
  const warm: Contender[] = [
    { name: "ours, warm", run: () => ask.run() },
    {
      name: "plain float32 product in memory, PyTorch",
      run: product,
      scale: rows / block,
      note: `extrapolated from a block of ${formatNumber(block)} rows`,
    },
  ];
  const warmRows = timeRows("warm", warm, await interleaved(warm, settings.rounds, context.log));
  const shares = [...(mayDrop ? [share(coldRows)] : []), share(warmRows)];
  const peak: Row = {
    group: "memory",
    name: `peak RSS of the process, memory: "${budgetMB} MB"`,
    unit: "MB",
    median: ask.peak / 2 ** 20,
    min: ask.peak / 2 ** 20,
    max: ask.peak / 2 ** 20,
    repeats: 1,
    timesOurs: null,
    note: "node and libtorch included",
  };
  return {
    rows: [...coldRows, ...warmRows, ...(apart ? [peak] : [])],
    versions: reference.versions,
    ratio: Math.min(...shares),
    unit: mayDrop
      ? "the smaller share: of what dd reads (cold), of a plain float32 product (warm)"
      : "of a plain float32 product (warm only)",
    bars: [
      atLeast("smaller share of dd (cold) and of the product (warm)", mayDrop ? Math.min(...shares) : Number.NaN, 0.5),
      ...(apart ? [atMost("peak RSS over the budget", ask.peak / (budgetMB * 2 ** 20), 1)] : []),
    ],
    notes: [
      `${formatNumber(rows)} rows × ${formatNumber(width)} float16 values, ${formatNumber(bytes / 2 ** 30)} GiB; ours warm reads ${formatNumber(bytes / warmRows[0].median / 1e9)} GB/s`,
      ...(mayDrop ? [] : ["cold was not measured: the page cache can be dropped by root alone"]),
    ],
  };
}

const share = ([ours, other]: readonly Row[]): number => other.median / ours.median;

export const paramsOf = (top: number, memoryBytes: number): NativeScoreParams => ({
  preconditioner: "none",
  damping: 0.1,
  similarity: "dot",
  top,
  memoryBytes,
  rowDoubts: new Float64Array(0),
  queryDoubts: new Float64Array(0),
});

/** One shard of random values: a block of random rows, turned a little further each time it is repeated. */
export async function randomStore(
  folder: string,
  { rows, width }: Pick<Settings, "rows" | "width">,
): Promise<NativeStore> {
  const segments = Array.from({ length: modules + 1 }, (_, i) => Math.floor((i * width) / modules));
  const layout = { precision: "float16", segments } as const;
  const shard = { file: "features-00000.safetensors", rows };
  const { header, losses, features, bytes } = shardShape(layout, rows);
  const random = createRandom(5, 0);
  const pattern = new Uint16Array(4096 * width).map(
    () => (random.below(2) << 15) | ((10 + random.below(6)) << 10) | random.below(1024),
  );
  const handle = await open(join(folder, shard.file), "w");
  try {
    await handle.write(header);
    await handle.write(new Uint8Array(features - losses), 0, undefined, losses);
    for (let at = features, turn = 1; at < bytes; turn++) {
      const part = Buffer.from(pattern.buffer, 0, Math.min(pattern.byteLength, bytes - at));
      await handle.write(part, 0, part.length, at);
      at += part.length;
      pattern.copyWithin(0, turn % 97); // other rows each time
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return nativeStore(folder, layout, [shard]);
}

/** Asks the store once, in this process. */
export async function askStore({
  store,
  width,
  queries,
  params,
}: StoreJob): Promise<{ seconds: number; scores: Float32Array }> {
  const features = randomQueries(queries, width);
  native();
  const start = performance.now();
  const { scores } = await runNative((control) =>
    native().storeScores(store, { ...params, queries: features }, control),
  );
  return { seconds: (performance.now() - start) / 1000, scores };
}

/** The store asked by a process of its own, whose peak memory is its answer's. */
class Asked {
  peak = 0;
  constructor(
    private readonly job: StoreJob,
    private readonly apart: boolean,
  ) {}

  async run(): Promise<number> {
    if (!this.apart) return (await askStore(this.job)).seconds;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(__dirname, "..", "store-query-child.js"), JSON.stringify(jobText(this.job))],
      { maxBuffer: 1 << 24 },
    );
    const answer = JSON.parse(stdout) as StoreAnswer;
    this.peak = Math.max(this.peak, answer.peak);
    return answer.seconds;
  }
}

/** Typed arrays as plain ones. */
const jobText = ({ store, width, queries, params }: StoreJob): object => ({
  width,
  queries,
  top: params.top,
  memoryBytes: params.memoryBytes,
  store: { ...store, segments: Array.from(store.segments) },
});

export function jobOf(text: string): StoreJob {
  const { width, queries, top, memoryBytes, store } = JSON.parse(text) as {
    width: number;
    queries: number;
    top: number;
    memoryBytes: number;
    store: Omit<NativeStore, "segments"> & { segments: number[] };
  };
  return {
    width,
    queries,
    params: paramsOf(top, memoryBytes),
    store: { ...store, segments: Int32Array.from(store.segments) },
  };
}

export function randomQueries(count: number, width: number): Float32Array {
  const random = createRandom(17, count);
  return new Float32Array(count * width).map(() => random.below(2001) / 1000 - 1);
}

/** Scores of the first rows by the core and by hand. */
async function requireSameScores({ width, queries }: Settings, store: NativeStore): Promise<void> {
  const few = 20;
  const features = randomQueries(queries, width);
  const first = { ...store, shards: [{ ...store.shards[0], rows: few }] };
  const { scores } = await runNative((control) =>
    native().storeScores(first, { ...paramsOf(0, 2 ** 28), queries: features }, control),
  );
  const bytes = Buffer.alloc(few * width * 2);
  const handle = await open(first.shards[0].file, "r");
  await handle.read(bytes, 0, bytes.length, first.shards[0].features);
  await handle.close();
  const values = Float64Array.from({ length: few * width }, (_, i) => half(bytes.readUInt16LE(2 * i)));
  const wanted = scores.map((_, i) => {
    const [query, row] = [Math.floor(i / few), i % few];
    let sum = 0;
    for (let k = 0; k < width; k++) sum += values[row * width + k] * features[query * width + k];
    return sum;
  });
  requireEqual("scores of the store", scores, wanted, scoreTolerance);
}

/** A normal float16. */
const half = (bits: number): number =>
  (bits >> 15 ? -1 : 1) * (1 + (bits & 1023) / 1024) * 2 ** (((bits >> 10) & 31) - 15);

async function read(file: string): Promise<number> {
  const start = performance.now();
  await promisify(execFile)("dd", [`if=${file}`, "of=/dev/null", "bs=1M"]);
  return (performance.now() - start) / 1000;
}

/** False where only root may. */
async function dropCaches(): Promise<boolean> {
  try {
    await promisify(execFile)("sync", []);
    await writeFile("/proc/sys/vm/drop_caches", "3");
    return true;
  } catch {
    return false;
  }
}
