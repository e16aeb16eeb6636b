// How time grows with the number of instances, of tokens, of stored rows and of queries: a straight line each, and how far the times
// lie from it. Ours alone, on a GPT-NeoX of 4 layers of 256.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInstances } from "../../lib/data/instances";
import { gradientSimilarity } from "../../lib/instance/gradient-similarity";
import { buildGradientStore } from "../../lib/instance/gradient-store";
import { formatNumber } from "../../lib/report/format";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeStore } from "../../types/native";
import { atLeast, atMost, type Bar, type Benchmark, type Context, type Measurement, type Row } from "../benchmark";
import { type Line, straightLine } from "../fit";
import { languageModel, type LanguageShape, neoxSmall, randomRows } from "../shapes";
import { interleaved, seconds } from "../timing";
import { askStore, paramsOf, randomStore } from "./store-query";

export interface Settings {
  readonly shape: LanguageShape;
  /** Tokens of an instance, where they do not grow. */
  readonly tokens: number;
  /** Training instances, tokens of each of the fewest instances, stored rows, queries: each the double of the one before. */
  readonly instances: readonly number[];
  readonly lengths: readonly number[];
  readonly rows: readonly number[];
  readonly queries: readonly number[];
  readonly rounds: number;
}

interface Series {
  readonly group: string;
  readonly of: string;
  readonly sizes: readonly number[];
  readonly run: (size: number) => Promise<number>;
}

const width = 576;
const [leastExplained, mostOff] = [0.99, 0.1];
const fullSettings: Settings = {
  shape: neoxSmall,
  tokens: 64,
  instances: [64, 128, 256, 512],
  lengths: [32, 64, 128, 256],
  rows: [50_000, 100_000, 200_000, 400_000],
  queries: [16, 32, 64, 128],
  rounds: 5,
};
const quickSettings: Settings = {
  ...fullSettings,
  instances: [32, 64, 128],
  lengths: [32, 64, 128],
  rows: [50_000, 100_000, 200_000],
  queries: [16, 32, 64],
  rounds: 3,
};

export const growth: Benchmark = {
  name: "growth",
  title: "time against instances, tokens, stored rows and queries: a straight line?",
  run: (context) => measureGrowth(context.quick ? quickSettings : fullSettings, context),
};

export async function measureGrowth(settings: Settings, { log }: Context): Promise<Measurement> {
  const folder = await mkdtemp(join(tmpdir(), "attribution-bench-"));
  try {
    await using subject = await languageModel(settings.shape, "float32");
    const store = await randomStore(folder, { rows: settings.rows[settings.rows.length - 1], width });
    const measured: { rows: Row[]; bars: Bar[]; note: string; doubled: number }[] = [];
    for (const series of seriesOf(settings, subject.model, store, folder))
      measured.push(await grown(series, settings.rounds, log));
    return {
      rows: measured.flatMap(({ rows }) => rows),
      ratio: Math.max(...measured.map(({ doubled }) => doubled)),
      unit: "the time for twice as much (the most of all series)",
      bars: measured.flatMap(({ bars }) => bars),
      versions: {},
      notes: [
        ...measured.map(({ note }) => note),
        `lines by least squares through the medians of ${settings.rounds} runs; a line that does not start at 0 has work that does not grow (reading the rows, the other side's gradients)`,
      ],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function seriesOf(
  { shape, tokens, instances, lengths, rows, queries }: Settings,
  model: Model,
  store: NativeStore,
  folder: string,
): Series[] {
  const side = (count: number, length: number, seed: number): Instances =>
    createInstances({ kind: "causalLM", rows: randomRows(shape.vocab_size, Array<number>(count).fill(length), seed) });
  const built = async (count: number, length: number): Promise<number> => {
    const [train, place] = [side(count, length, 0), await mkdtemp(join(folder, "store-"))];
    const taken = await seconds(() =>
      buildGradientStore(model, train, join(place, "store"), { parameters: "linear", rank: 16, precision: "float16" }),
    );
    await rm(place, { recursive: true });
    return taken;
  };
  const compared = async (train: number, asked: number): Promise<number> => {
    const sides = [side(train, tokens, 0), side(asked, tokens, 1)];
    return seconds(() => gradientSimilarity(model, sides[0], sides[1], { parameters: "mlp" }));
  };
  const asked = async (count: number, asking: number): Promise<number> => {
    const some = { ...store, shards: [{ ...store.shards[0], rows: count }] };
    return (await askStore({ store: some, width, queries: asking, params: paramsOf(10, 2 ** 30) })).seconds;
  };
  const middle = (sizes: readonly number[]): number => sizes[sizes.length >> 1];
  return [
    { group: "gradient store", of: "instances", sizes: instances, run: (size) => built(size, tokens) },
    { group: "gradient store", of: "tokens an instance", sizes: lengths, run: (size) => built(instances[0], size) },
    { group: "store query", of: "rows", sizes: rows, run: (size) => asked(size, middle(queries)) },
    { group: "store query", of: "queries", sizes: queries, run: (size) => asked(middle(rows), size) },
    {
      group: "gradient similarity",
      of: "training instances",
      sizes: instances,
      run: (size) => compared(size, queries[0]),
    },
    { group: "gradient similarity", of: "queries", sizes: queries, run: (size) => compared(instances[0], size) },
  ];
}

async function grown(
  { group, of, sizes, run }: Series,
  rounds: number,
  log: Context["log"],
): Promise<{ rows: Row[]; bars: Bar[]; note: string; doubled: number }> {
  await run(sizes[0]); // does not count
  const contenders = sizes.map((size) => ({ name: `${group}, ${formatNumber(size)} ${of}`, run: () => run(size) }));
  const spreads = await interleaved(contenders, rounds, log);
  const line = straightLine(
    sizes,
    spreads.map(({ median }) => median),
  );
  const name = `${group} by ${of}`;
  const off = Math.max(...line.residuals.map(Math.abs));
  return {
    rows: spreads.map((spread, i) => ({
      group: name,
      name: `${formatNumber(sizes[i])} ${of}`,
      unit: "s",
      ...spread,
      timesOurs: null,
      note: residual(line, i),
    })),
    bars: [
      atLeast(`${name}: share of the variance that a line explains`, line.r2, leastExplained),
      atMost(`${name}: furthest from the line, as a share of it`, off, mostOff),
    ],
    note: `${name}: ${formatNumber(line.intercept)} s + ${formatNumber(1e6 * line.slope)} µs each, R² ${line.r2.toFixed(4)}`,
    doubled: spreads[spreads.length - 1].median / spreads[spreads.length - 2].median,
  };
}

const residual = ({ residuals }: Line, i: number): string =>
  `${residuals[i] < 0 ? "−" : "+"}${(100 * Math.abs(residuals[i])).toFixed(1)} % off the line`;
