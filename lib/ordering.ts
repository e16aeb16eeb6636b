// Orders numbers by a radix sort: time linear in their count, equal numbers by index, cut into steps that share the event loop.
import { AttributionError } from "./errors";
import { isTyped } from "./options";
import { atOnce, type Steps } from "./pacing";

type Numbers = ArrayLike<number>;
export type Direction = "ascending" | "descending";

/** Numbers that one step visits; less than a millisecond. */
const block = 1 << 16;

/** All indices, highest number first, ties by index. "invalid" on NaN. */
export function descendingOrder(values: Numbers): Int32Array {
  return atOnce(orderSteps(values, "descending"));
}

/** All indices in the order of their numbers, ties by index. "invalid" on NaN. */
export function* orderSteps(values: Numbers, direction: Direction): Steps<Int32Array> {
  const words = isTyped(values, "Float32Array")
    ? yield* keysOf32(values as Float32Array, direction)
    : yield* keysOf64(values, direction);
  let order: Int32Array | undefined;
  for (const word of words) order = yield* sortedBy(word, order);
  return order as Int32Array;
}

/** Ranks from 1 for the first number; equal numbers share the mean of their ranks. "invalid" on NaN. */
export function* rankSteps(values: Numbers, direction: Direction): Steps<Float64Array> {
  const order = yield* orderSteps(values, direction);
  const ranks = new Float64Array(order.length);
  for (let start = 0; start < order.length; yield) start = shareRanks(values, order, ranks, start, start + block);
  return ranks;
}

/** Ranks the groups of equal numbers from `start` on until one ends at `least` or after; returns where it ends. */
function shareRanks(values: Numbers, order: Int32Array, ranks: Float64Array, start: number, least: number): number {
  const { length } = order;
  while (start < least && start < length) {
    const value = values[order[start]];
    let end = start + 1;
    while (end < length && values[order[end]] === value) end++;
    for (let at = start; at < end; at++) ranks[order[at]] = (start + 1 + end) / 2;
    start = end;
  }
  return start;
}

// A float's bits, as an unsigned number, rise with it once a negative float's bits are inverted and a positive one's sign bit is set.

function* keysOf32(values: Float32Array, direction: Direction): Steps<readonly Uint32Array[]> {
  const floats = new Float32Array(values.length);
  const bits = new Int32Array(floats.buffer);
  const flip = direction === "descending" ? -1 : 0;
  for (let begin = 0; begin < values.length; begin += block, yield) {
    const end = Math.min(begin + block, values.length);
    copyNumbers(values, floats, begin, end);
    for (let i = begin; i < end; i++) bits[i] ^= ((bits[i] >> 31) | 0x80000000) ^ flip;
  }
  return [new Uint32Array(floats.buffer)];
}

/** The low words, then the high ones: the order in which a radix sort takes them. */
function* keysOf64(values: Numbers, direction: Direction): Steps<readonly Uint32Array[]> {
  const floats = new Float64Array(values.length);
  const bits = new Int32Array(floats.buffer); // little endian: low word, high word
  const [low, high] = [new Uint32Array(values.length), new Uint32Array(values.length)];
  const flip = direction === "descending" ? -1 : 0;
  for (let begin = 0; begin < values.length; begin += block, yield) {
    const end = Math.min(begin + block, values.length);
    copyNumbers(values, floats, begin, end);
    for (let i = begin; i < end; i++) {
      const sign = bits[2 * i + 1] >> 31;
      low[i] = bits[2 * i] ^ sign ^ flip;
      high[i] = bits[2 * i + 1] ^ (sign | 0x80000000) ^ flip;
    }
  }
  return [low, high];
}

function copyNumbers(values: Numbers, floats: Float32Array | Float64Array, begin: number, end: number): void {
  for (let i = begin; i < end; i++) {
    const value = values[i];
    if (value !== value) throw notANumber(i);
    floats[i] = value + 0; // −0 and 0 are equal
  }
}

/** The order after a stable sort by 32-bit keys, least significant digits first. */
function* sortedBy(keys: Uint32Array, given?: Int32Array): Steps<Int32Array> {
  const { length } = keys;
  const bits = length < 2500 ? 8 : length < 100_000 ? 11 : 16;
  const mask = (1 << bits) - 1;
  const next = new Int32Array(mask + 1);
  let order: Int32Array = given ?? counted(length);
  let sorted: Int32Array = new Int32Array(length);
  for (let shift = 0; shift < 32; shift += bits) {
    next.fill(0);
    for (let begin = 0; begin < length; begin += block, yield) countDigits(keys, next, shift, mask, begin);
    if (length > 0 && next[(keys[0] >>> shift) & mask] === length) continue; // all have the same digit
    for (let digit = 0, start = 0; digit <= mask; digit++) {
      const count = next[digit];
      next[digit] = start;
      start += count;
    }
    for (let begin = 0; begin < length; begin += block, yield)
      placeDigits(keys, order, sorted, next, shift, mask, begin);
    [order, sorted] = [sorted, order];
  }
  return order;
}

function counted(length: number): Int32Array {
  const order = new Int32Array(length);
  for (let i = 0; i < length; i++) order[i] = i;
  return order;
}

function countDigits(keys: Uint32Array, next: Int32Array, shift: number, mask: number, begin: number): void {
  const end = Math.min(begin + block, keys.length);
  for (let i = begin; i < end; i++) next[(keys[i] >>> shift) & mask]++;
}

function placeDigits(
  keys: Uint32Array,
  order: Int32Array,
  sorted: Int32Array,
  next: Int32Array,
  shift: number,
  mask: number,
  begin: number,
): void {
  const end = Math.min(begin + block, order.length);
  for (let i = begin; i < end; i++) {
    const index = order[i];
    sorted[next[(keys[index] >>> shift) & mask]++] = index;
  }
}

export function notANumber(index: number): AttributionError {
  return new AttributionError(
    "invalid",
    `Expected scores to rank but the score at ${index} is NaN. Compute the attribution again, and check the model's weights for NaN`,
  );
}
