// MNLI rows to tune a classifier on, a share of them with a wrong label on purpose, and held-out rows to ask about.
import { join } from "node:path";
import { createDataset } from "../../lib/data/dataset";
import { loadDataset } from "../../lib/data/load-dataset";
import { createRandom, sampleWithout, shuffle } from "../../lib/random";
import type { Dataset, Row } from "../../types/data";

export interface PairsSize {
  readonly train: number;
  readonly queries: number;
  /** Longest premise and hypothesis together, in words. */
  readonly longest: number;
  /** Share of training rows whose label is changed. */
  readonly wrong: number;
  /** Training rows whose self-influence is asked: so many with a wrong label, as many with a right one. */
  readonly inspected: number;
}

export interface PairsData {
  readonly train: Dataset;
  readonly queries: Dataset;
  /** Training rows whose self-influence is asked, the mislabelled ones first. */
  readonly inspected: readonly number[];
}

export const pairFiles = ["mnli/mnli_train.jsonl", "mnli/mnli_dev_matched_first3000.jsonl"] as const;

export async function readPairs(data: string, size: PairsSize, seed: number): Promise<PairsData> {
  const [all, held] = await Promise.all(pairFiles.map((file) => loadDataset("mnli", { path: join(data, file), onlyLabelled: true })));
  const random = createRandom(seed, 1);
  const isShort = ({ fields }: Row): boolean => `${String(fields["premise"])} ${String(fields["hypothesis"])}`.split(/\s+/).length <= size.longest;
  const rows = shuffle(all.rows.filter(isShort), random).slice(0, size.train);
  const wrong = Array.from(sampleWithout(rows.length, Math.round(size.wrong * rows.length), random));
  const changed = rows.map((row, i) => (wrong.includes(i) ? { ...row, label: (row.label + 1 + random.below(all.labels.length - 1)) % all.labels.length } : row));
  const right = shuffle(rows.map((_, i) => i).filter((i) => !wrong.includes(i)), random);
  return {
    train: await createDataset(changed, { name: "MNLI, some labels changed", labels: all.labels }),
    queries: await createDataset(shuffle(held.rows.filter(isShort), random).slice(0, size.queries), { name: "MNLI, matched dev", labels: all.labels }),
    inspected: [...wrong.slice(0, size.inspected), ...right.slice(0, size.inspected)],
  };
}
