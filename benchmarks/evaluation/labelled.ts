// What a classifier is tuned on: rows of which a share gets a wrong label on purpose, and held-out rows to ask about.
import { createDataset } from "../../lib/data/dataset";
import { type Random, sampleWithout, shuffle } from "../../lib/random";
import type { Dataset, Row } from "../../types/data";

export interface LabelledSize {
  readonly train: number;
  readonly queries: number;
  /** Longest text (of a pair: both together), in words. */
  readonly longest: number;
  /** Share of training rows whose label is changed. */
  readonly wrong: number;
  /** Training rows whose self-influence is asked: so many with a wrong label, as many with a right one. */
  readonly inspected: number;
}

export interface LabelledData {
  readonly train: Dataset;
  readonly queries: Dataset;
  /** Training rows whose self-influence is asked, the mislabelled ones first. */
  readonly inspected: readonly number[];
}

export async function labelledData(
  name: string,
  labels: readonly string[],
  rows: readonly Row[],
  held: readonly Row[],
  { wrong: share, inspected }: LabelledSize,
  random: Random,
): Promise<LabelledData> {
  const wrong = Array.from(sampleWithout(rows.length, Math.round(share * rows.length), random));
  const changed = rows.map((row, i) =>
    wrong.includes(i) ? { ...row, label: (row.label + 1 + random.below(labels.length - 1)) % labels.length } : row,
  );
  const right = shuffle(
    rows.map((_, i) => i).filter((i) => !wrong.includes(i)),
    random,
  );
  return {
    train: await createDataset(changed, { name: `${name}, some labels changed`, labels }),
    queries: await createDataset(held, { name: `${name}, held out`, labels }),
    inspected: [...wrong.slice(0, inspected), ...right.slice(0, inspected)],
  };
}
