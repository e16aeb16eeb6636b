// The neurons of one instance that count, best first: those with a score above 0, at most the selection's. Made once per width, so
// that a hundred thousand rows share one working memory.
import { descendingOrder, notANumber } from "../ordering";
import type { Selection } from "../results/top";
import type { NeuronList } from "./list-scores";

/** Sorts within buckets that hold so many entries at the root mean square cost more than a radix sort. */
const mostPerBucket = 16;
const buckets = 256;

/**
 * A function of a row of scores [neuron]. Its list is valid until the next call. Linear in the row where scores are spread out, and
 * never worse than a sort.
 */
export function neuronRanker(width: number): (scores: Float32Array, selection: Selection) => NeuronList {
  const indices = new Int32Array(width);
  const values = new Float32Array(width);
  const order = new Int32Array(width);
  const bucketOf = new Uint8Array(width);
  const list = { neurons: new Int32Array(width), scores: new Float32Array(width), length: 0 };
  return (scores, selection) => {
    const threshold = "fractionOfMaximum" in selection ? selection.fractionOfMaximum * highest(scores) : 0;
    const kept = keepAbove(scores, threshold, indices, values);
    list.length = Math.min("topK" in selection ? selection.topK : kept, kept);
    const isOrdered = bucketOrder(values, kept, list.length, bucketOf, order);
    if (!isOrdered) order.set(descendingOrder(values.subarray(0, kept)));
    for (let rank = 0; rank < list.length; rank++) {
      const at = order[rank];
      list.neurons[rank] = indices[at];
      list.scores[rank] = values[at];
    }
    return list;
  };
}

/** The highest score, 0 where none is positive. */
function highest(scores: Float32Array): number {
  let maximum = 0;
  for (let index = 0; index < scores.length; index++) if (scores[index] > maximum) maximum = scores[index];
  return maximum;
}

/** Copies the scores above a threshold and their indices; returns how many they are. */
function keepAbove(scores: Float32Array, threshold: number, indices: Int32Array, values: Float32Array): number {
  let kept = 0;
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index];
    if (score !== score) throw notANumber(index);
    if (!(score > threshold)) continue;
    indices[kept] = index;
    values[kept++] = score;
  }
  return kept;
}

/**
 * Puts at least the first `most` of `count` values in descending order, ties by index: into buckets of equal width, highest first,
 * each sorted by insertion as far as it is needed. False, with nothing done, where they crowd into few buckets.
 */
function bucketOrder(
  values: Float32Array,
  count: number,
  most: number,
  bucketOf: Uint8Array,
  order: Int32Array,
): boolean {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < count; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  const scale = high > low ? (buckets - 1) / (high - low) : 0;
  if (!(scale < Infinity)) return false; // a width that is no number
  const next = new Int32Array(buckets + 1);
  for (let i = 0; i < count; i++) {
    const bucket = (high - values[i]) * scale;
    bucketOf[i] = bucket;
    next[bucketOf[i] + 1]++;
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
