// MNLI rows: many that teach a classifier the task first, then those it is tuned on, a share of them with a wrong label on purpose,
// and held-out rows to ask about.
import { join } from "node:path";
import { createDataset } from "../../lib/data/dataset";
import { loadDataset } from "../../lib/data/load-dataset";
import { createRandom, shuffle } from "../../lib/random";
import type { Dataset, Row } from "../../types/data";
import { labelledData, type LabelledData, type LabelledSize } from "./labelled";

export interface PairsSize extends LabelledSize {
  /** MNLI's labels that take part; rows of the others are left out. */
  readonly classes: readonly string[];
  /** Rows, their labels right, that the classifier has learned before. */
  readonly taught: number;
}

export interface PairsData extends LabelledData {
  readonly taught: Dataset;
}

export const pairFiles = ["mnli/mnli_train.jsonl", "mnli/mnli_dev_matched_first3000.jsonl"] as const;

export async function readPairs(data: string, size: PairsSize, seed: number): Promise<PairsData> {
  const [all, held] = await Promise.all(
    pairFiles.map((file) => loadDataset("mnli", { path: join(data, file), onlyLabelled: true })),
  );
  const random = createRandom(seed, 1);
  const isShort = ({ fields }: Row): boolean =>
    `${String(fields["premise"])} ${String(fields["hypothesis"])}`.split(/\s+/).length <= size.longest;
  const chosen = (rows: readonly Row[]): Row[] =>
    shuffle(
      rows.filter(isShort).flatMap((row) => {
        const label = size.classes.indexOf(all.labels[row.label]);
        return label < 0 ? [] : [{ ...row, label }];
      }),
      random,
    );
  const [rows, asked] = [chosen(all.rows), chosen(held.rows)];
  const labelled = await labelledData(
    "MNLI",
    size.classes,
    rows.slice(0, size.train),
    asked.slice(0, size.queries),
    size,
    random,
  );
  return {
    ...labelled,
    taught: await createDataset(rows.slice(size.train, size.train + size.taught), {
      name: "MNLI, taught before",
      labels: size.classes,
    }),
  };
}
