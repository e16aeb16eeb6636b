// Rows as a study has them: with the fact and the group of each where they are known. Known facts make known truth.
import type { CallOptions } from "../../types/common";
import type { Dataset, Row } from "../../types/data";
import { createDataset } from "../data/dataset";
import { createRandom, shuffle } from "../random";

/** A row with what it is about. */
export interface StudyRow extends Row {
  /** Names subject and relation, e.g. "capital of France"; rows with the same one are about the same thing, true or not. */
  readonly fact?: string;
  /** What results may be broken down by, e.g. "capital". */
  readonly group?: string;
}

export interface StudyData {
  readonly name: string;
  /** Where the rows come from, in a sentence. */
  readonly origin: string;
  /** What a right answer to a held-out row shows, in a sentence. */
  readonly heldOutShows: string;
  /** Class names; empty for listwise choice. */
  readonly labels: readonly string[];
  readonly train: readonly StudyRow[];
  readonly heldOut: readonly StudyRow[];
  readonly queries: readonly StudyRow[];
  /** Rows of another distribution; `label` is the class that stands for theirs. */
  readonly outOfDistribution: readonly StudyRow[];
  /** [row] the classes that count as right. */
  readonly outOfDistributionRight: readonly (readonly number[])[];
  readonly outOfDistributionIs: string;
  readonly template: string | undefined;
  readonly maxLength: number | undefined;
  /** What the reader must know, e.g. that queries stand in the training rows. */
  readonly warnings: readonly string[];
}

/** The training rows that a query's answer is known to be stated in. */
export interface Truth {
  /** [query] rows about the same subject and relation, whatever their label. */
  readonly sameFact: readonly (readonly number[])[];
  /** [query] those of them with the query's own label. */
  readonly sameClaim: readonly (readonly number[])[];
}

/** Undefined where no query's fact is stated in training. */
export function truthOf(train: readonly StudyRow[], queries: readonly StudyRow[]): Truth | undefined {
  const stating = new Map<string, number[]>();
  train.forEach(({ fact }, index) => {
    if (fact !== undefined) stating.set(fact, [...(stating.get(fact) ?? []), index]);
  });
  const sameFact = queries.map(({ fact }) => (fact === undefined ? [] : (stating.get(fact) ?? [])));
  if (sameFact.every((rows) => rows.length === 0)) return undefined;
  const sameClaim = sameFact.map((rows, query) => rows.filter((index) => train[index].label === queries[query].label));
  return { sameFact, sameClaim };
}

/** Held-out rows to ask about: every label in turn, so that none is missing, otherwise at random. */
export function chooseQueries(rows: readonly StudyRow[], count: number, seed: number): readonly StudyRow[] {
  const byLabel = new Map<number, StudyRow[]>();
  for (const row of shuffle(rows, createRandom(seed, 1)))
    byLabel.set(row.label, [...(byLabel.get(row.label) ?? []), row]);
  const piles = [...byLabel.entries()].sort(([a], [b]) => a - b).map(([, pile]) => pile);
  const chosen: StudyRow[] = [];
  for (let round = 0; chosen.length < Math.min(count, rows.length); round++) {
    for (const pile of piles) if (round < pile.length && chosen.length < count) chosen.push(pile[round]);
  }
  return chosen;
}

/** Share of the most frequent label: what a model that knows nothing can reach. */
export function majorityShare(rows: readonly Pick<Row, "label">[]): number {
  const counts = new Map<number, number>();
  for (const { label } of rows) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Math.max(...counts.values()) / rows.length;
}

export function datasetOf(
  rows: readonly StudyRow[],
  labels: readonly string[],
  name: string,
  call: CallOptions = {},
): Promise<Dataset> {
  return createDataset(
    rows.map(({ id, fields, label }) => ({ id, fields, label })),
    { name, labels, ...call },
  );
}
