// How much two questions share of their top units: two phrasings of a fact, two facts of one relation, of two relations, and random
// units of the same layers.
import { sharedShare } from "../../analysis/choices";
import { randomLike } from "../../neuron/random-units";
import { createRandom } from "../../random";
import { topIndices } from "../../results/ranking";
import { rowScores } from "../../results/top";
import { bootstrapMean } from "../../statistics";
import type { Architecture } from "../../../types/architecture";
import type { Estimate } from "../../../types/results";
import type { KnownFact } from "./asking";
import type { Attributed } from "./attributing";

export interface Shared {
  readonly pairs: string;
  readonly count: number;
  /** Share of the top k that both have; mean over questions. */
  readonly share: Estimate;
}

const kinds = [
  "two phrasings of one fact",
  "two facts of one relation, same phrasing",
  "two facts of one relation, other phrasing",
  "two facts of two relations",
] as const;

export function sharedUnits(
  shape: Architecture,
  facts: readonly KnownFact[],
  { scores, factOf, questions }: Attributed,
  k: number,
  seed: number,
): Shared[] {
  const tops = factOf.map((_, row) => topIndices(rowScores(scores, row), k));
  const phrasing = questions.ids.map((id) => id.slice(id.lastIndexOf(" ")));
  const kindOf = (a: number, b: number): number => {
    if (factOf[a] === factOf[b]) return 0;
    if (facts[factOf[a]].relation !== facts[factOf[b]].relation) return 3;
    return phrasing[a] === phrasing[b] ? 1 : 2;
  };
  const found = kinds.flatMap((pairs, kind): Shared[] => {
    const perRow = tops.map((own, row) =>
      tops.flatMap((other, at) => (at !== row && kindOf(row, at) === kind ? [sharedShare(own, other)] : [])),
    );
    return estimated(pairs, perRow, seed, 2); // each pair is counted from both sides
  });
  const random = tops.map((own, row) =>
    tops.flatMap((_, at) =>
      at < row ? [sharedShare(own, randomLike(shape, tops[at], createRandom(seed, 31, row, at)))] : [],
    ),
  );
  return [...found, ...estimated("a question and random units of another's layers", random, seed, 1)];
}

function estimated(pairs: string, perRow: readonly (readonly number[])[], seed: number, times: number): Shared[] {
  const means = perRow.flatMap((shares) =>
    shares.length === 0 ? [] : [shares.reduce((sum, share) => sum + share, 0) / shares.length],
  );
  const count = perRow.reduce((sum, { length }) => sum + length, 0) / times;
  return means.length === 0 ? [] : [{ pairs, count, share: bootstrapMean(means, { seed }) }];
}
