// Orders scores: highest first, equal scores by index. What every ranking of the library goes through.
// Scores that are not a number have no place in an order and are refused.
import { AttributionError } from "../errors";

type Scores = Float32Array | Float64Array;

/** Indices that pack beside a 32-bit score into the 53 bits of a number. */
const packable = 2 ** 21;
const { isNaN } = Number; // called for every score: looked up once

/** Indices of the `k` highest scores (all where k exceeds them), best first, ties by index. "invalid" on NaN. */
export function topIndices(scores: Scores, k: number): Int32Array {
  if (k >= scores.length / 8) return descendingOrder(scores).subarray(0, Math.min(k, scores.length));
  const heap = new Int32Array(k);
  let filled = 0;
  let weakest = -Infinity;
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index];
    if (score <= weakest && filled === k) continue;
    if (isNaN(score)) throw notANumber(index);
    if (k === 0) continue;
    if (filled < k) raise(heap, scores, index, filled++);
    else sink(heap, scores, index, k);
    if (filled === k) weakest = scores[heap[0]];
  }
  return heap.sort((a, b) => scores[b] - scores[a] || a - b);
}

/** Whether entry a ranks behind entry b. */
function behind(scores: Scores, a: number, b: number): boolean {
  const [scoreA, scoreB] = [scores[a], scores[b]];
  return scoreA < scoreB || (scoreA === scoreB && a > b);
}

/** Adds an index at the end of a heap whose root ranks last. */
function raise(heap: Int32Array, scores: Scores, index: number, at: number): void {
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!behind(scores, index, heap[parent])) break;
    heap[at] = heap[parent];
    at = parent;
  }
  heap[at] = index;
}

/** Replaces the root. */
function sink(heap: Int32Array, scores: Scores, index: number, size: number): void {
  let at = 0;
  for (let child = 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size && behind(scores, heap[child + 1], heap[child])) child++;
    if (!behind(scores, heap[child], index)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = index;
}

/** All indices, best first, ties by index. "invalid" on NaN. */
export function descendingOrder(scores: Scores): Int32Array {
  const order = new Int32Array(scores.length);
  if (scores.BYTES_PER_ELEMENT === 4 && scores.length <= packable) return packedOrder(scores as Float32Array, order);
  for (let index = 0; index < scores.length; index++) {
    if (isNaN(scores[index])) throw notANumber(index);
    order[index] = index;
  }
  return order.sort((a, b) => (scores[a] > scores[b] ? -1 : scores[a] === scores[b] ? a - b : 1));
}

/** Sorts without a comparator: the score's bits, turned so that they fall with the score, above the index's. */
function packedOrder(scores: Float32Array, order: Int32Array): Int32Array {
  const keys = new Float64Array(scores.length);
  const value = new Float32Array(1);
  const bits = new Uint32Array(value.buffer);
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index];
    if (isNaN(score)) throw notANumber(index);
    value[0] = score + 0; // −0 and 0 are equal
    const raw = bits[0];
    keys[index] = (raw >= 0x80000000 ? raw : 0x7fffffff - raw) * packable + index;
  }
  keys.sort();
  for (let at = 0; at < keys.length; at++) order[at] = keys[at] % packable;
  return order;
}

function notANumber(index: number): AttributionError {
  return new AttributionError(
    "invalid",
    `Expected scores to rank but the score at ${index} is NaN. Compute the attribution again, and check the model's weights for NaN`,
  );
}
