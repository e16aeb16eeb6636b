// What a benchmark is: a case measures contenders side by side and hands back rows; run.ts prints them. No timings here.

export interface Benchmark {
  /** As typed: `npm run bench -- NAME`. */
  readonly name: string;
  /** What is compared with what, in a sentence. */
  readonly title: string;
  readonly run: (context: Context) => Promise<Measurement>;
}

export interface Context {
  /** Fewer repeats, and the slow contenders extrapolated from a part of their work. */
  readonly quick: boolean;
  readonly log: (text: string) => void;
}

/** The median of several repeats, and the least and the largest of them. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly repeats: number;
}

export interface Row extends Spread {
  /** Rows of one group were measured side by side, e.g. "128 tokens". */
  readonly group: string;
  readonly name: string;
  /** Of the numbers: "s", "MB", … */
  readonly unit: string;
  /** Its median over that of ours in the group. */
  readonly timesOurs: number | null;
  /** What must be known to read the number, e.g. how it was extrapolated. */
  readonly note: string;
}

/** What the number must reach. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly wanted: string;
  readonly holds: boolean;
}

export interface Measurement {
  readonly rows: readonly Row[];
  /** Shown in place of the rows, where a case compares in several columns. */
  readonly table?: { readonly columns: readonly string[]; readonly rows: readonly (readonly string[])[] };
  /** The case's headline, and what it is a ratio of. */
  readonly ratio: number;
  readonly unit: string;
  readonly bars: readonly Bar[];
  /** Whole sentences: distance from the arithmetic, what was left out and why. */
  readonly notes: readonly string[];
  /** Of the references and peers that took part. */
  readonly versions: Readonly<Record<string, string>>;
}

export const atLeast = (name: string, value: number, least: number): Bar => ({
  name,
  value,
  wanted: `≥ ${least}`,
  holds: value >= least,
});
export const atMost = (name: string, value: number, most: number): Bar => ({
  name,
  value,
  wanted: `≤ ${most}`,
  holds: value <= most,
});
