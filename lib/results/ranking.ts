// The highest scores of a row, equal scores by index. Scores that are not a number have no rank and are refused.
import { type Direction, notANumber, orderSteps } from "../ordering";
import { atOnce } from "../pacing";

type Scores = Float32Array | Float64Array;

/** Indices of the `k` highest scores (all where k exceeds them), highest first, ties by index. "invalid" on NaN. */
export function topIndices(scores: Scores, k: number): Int32Array {
  return firstIndices(scores, k, "descending");
}

/** Indices of the first `k` scores in an order, ties by index. "invalid" on NaN. */
export function firstIndices(scores: Scores, k: number, direction: Direction): Int32Array {
  if (k >= scores.length / 8) return atOnce(orderSteps(scores, direction)).subarray(0, Math.min(k, scores.length));
  const sign = direction === "descending" ? 1 : -1;
  const indices = new Int32Array(k);
  const best = bestOf(indices, new Float64Array(k));
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index];
    if (score !== score) throw notANumber(index);
    best.offer(index, sign * score);
  }
  best.sort();
  return indices;
}

/** Keeps the best entries of those offered, in the two arrays that it is given; `sort` puts them in order. */
export interface BestEntries {
  readonly offer: (index: number, score: number) => void;
  /** Scores below it are not kept: a loop need not offer them. */
  readonly least: () => number;
  readonly sort: () => void;
}

export function bestOf(indices: Int32Array, scores: Scores): BestEntries {
  const size = indices.length;
  let filled = 0;
  return {
    offer(index, score) {
      if (filled < size) raise(indices, scores, filled++, index, score);
      else if (size > 0 && isBehind(scores[0], indices[0], score, index)) lower(indices, scores, index, score);
    },
    least: () => (filled < size || size === 0 ? -Infinity : scores[0]),
    sort: () => sortEntries(indices, scores),
  };
}

// A heap in two arrays. Its root is the entry that ranks last: lowest score, then highest index.

function isBehind(score: number, index: number, otherScore: number, otherIndex: number): boolean {
  return score < otherScore || (score === otherScore && index > otherIndex);
}

/** Adds an entry at the heap's end. */
function raise(indices: Int32Array, scores: Scores, end: number, index: number, score: number): void {
  let at = end;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isBehind(score, index, scores[parent], indices[parent])) break;
    indices[at] = indices[parent];
    scores[at] = scores[parent];
    at = parent;
  }
  indices[at] = index;
  scores[at] = score;
}

/** Replaces the heap's root. */
function lower(indices: Int32Array, scores: Scores, index: number, score: number): void {
  const size = indices.length;
  let at = 0;
  for (let child = 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size && isBehind(scores[child + 1], indices[child + 1], scores[child], indices[child])) child++;
    if (!isBehind(scores[child], indices[child], score, index)) break;
    indices[at] = indices[child];
    scores[at] = scores[child];
    at = child;
  }
  indices[at] = index;
  scores[at] = score;
}

function sortEntries(indices: Int32Array, scores: Scores): void {
  const order = Int32Array.from(indices, (_, at) => at).sort(
    (a, b) => scores[b] - scores[a] || indices[a] - indices[b],
  );
  const [sortedIndices, sortedScores] = [order.map((at) => indices[at]), Float64Array.from(order, (at) => scores[at])];
  indices.set(sortedIndices);
  scores.set(sortedScores);
}
