// The neurons of one instance that count, best first: those with a score above 0, at most the selection's. Made once per width, so
// that a hundred thousand rows share one working memory.
import { descendingOrder, notANumber } from "../ordering";
import type { Selection } from "../results/top";
import type { NeuronList } from "./list-scores";

/** Sorts within buckets that hold so many entries at the root mean square cost more than a radix sort. */
const mostPerBucket = 16;
const buckets = 256;
/** A row's k-th score times this is tried as the next row's threshold, which is right where k scores or more lie above it. */
const guessShare = 0.9;

/**
 * A function of a row of scores [neuron]. Its list is valid until the next call. Linear in the row where scores are spread out, and
 * never worse than a sort. Rows are alike: few scores lie above a threshold guessed from the row before, and only they are sorted.
 * Where the guess leaves too few, the row is read again without it. So the list never depends on the guess.
 */
export function neuronRanker(width: number): (scores: Float32Array, selection: Selection) => NeuronList {
  const kept: Kept = {
    indices: new Int32Array(width),
    values: new Float32Array(width),
    count: 0,
    lowest: 0,
    highest: 0,
  };
  const order = new Int32Array(width);
  const work: Buckets = { bucketOf: new Uint8Array(width), next: new Int32Array(buckets + 1) };
  const list = { neurons: new Int32Array(width), scores: new Float32Array(width), length: 0 };
  let guess = 0;
  return (scores, selection) => {
    const topK = "topK" in selection ? selection.topK : Infinity;
    const threshold = "fractionOfMaximum" in selection ? selection.fractionOfMaximum * highest(scores) : 0;
    if (guess > threshold) keepAbove(scores, guess, kept);
    if (guess <= threshold || kept.count < topK) keepAbove(scores, threshold, kept);
    list.length = Math.min(topK, kept.count);
    const isOrdered = bucketOrder(kept, list.length, work, order);
    if (!isOrdered) order.set(descendingOrder(kept.values.subarray(0, kept.count)));
    for (let rank = 0; rank < list.length; rank++) {
      const at = order[rank];
      list.neurons[rank] = kept.indices[at];
      list.scores[rank] = kept.values[at];
    }
    guess = list.length === topK ? guessShare * list.scores[topK - 1] : 0;
    return list;
  };
}

/** The scores of a row that count, in the row's order. The arrays are longer than `count`. */
interface Kept {
  readonly indices: Int32Array;
  readonly values: Float32Array;
  count: number;
  lowest: number;
  highest: number;
}

/** Working memory of bucketOrder. */
interface Buckets {
  readonly bucketOf: Uint8Array;
  readonly next: Int32Array;
}

/** The highest score, 0 where none is positive. */
function highest(scores: Float32Array): number {
  let maximum = 0;
  for (let index = 0; index < scores.length; index++) if (scores[index] > maximum) maximum = scores[index];
  return maximum;
}

function keepAbove(scores: Float32Array, threshold: number, kept: Kept): void {
  const { indices, values } = kept;
  let [count, high, low] = [0, -Infinity, Infinity];
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index];
    if (score > threshold) {
      indices[count] = index;
      values[count++] = score;
      if (score > high) high = score;
      if (score < low) low = score;
    } else if (score !== score) throw notANumber(index);
  }
  [kept.count, kept.lowest, kept.highest] = [count, low, high];
}

/**
 * Puts at least the first `most` of the kept values in descending order, ties by index: into buckets of equal width, highest first,
 * each sorted by insertion as far as it is needed. False, with nothing done, where they crowd into few buckets.
 */
function bucketOrder(
  { values, count, lowest, highest: high }: Kept,
  most: number,
  { bucketOf, next }: Buckets,
  order: Int32Array,
): boolean {
  const scale = high > lowest ? (buckets - 1) / (high - lowest) : 0;
  if (!(scale < Infinity)) return false; // a width that is no number
  next.fill(0);
  for (let i = 0; i < count; i++) {
    const bucket = ((high - values[i]) * scale) | 0;
    bucketOf[i] = bucket;
    next[bucket + 1]++;
  }
  let [used, entries, squares] = [0, 0, 0];
  for (; used < buckets && entries < most; used++) {
    squares += next[used + 1] ** 2;
    entries += next[used + 1];
    next[used + 1] = entries;
  }
  if (squares > mostPerBucket * entries) return false;
  for (let i = 0; i < count; i++) if (bucketOf[i] < used) order[next[bucketOf[i]]++] = i;
  sortByInsertion(order, entries, values);
  return true;
}

function sortByInsertion(order: Int32Array, length: number, values: Float32Array): void {
  for (let at = 1; at < length; at++) {
    const index = order[at];
    const value = values[index];
    let to = at - 1;
    for (; to >= 0 && values[order[to]] < value; to--) order[to + 1] = order[to];
    order[to + 1] = index;
  }
}
