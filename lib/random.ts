// Seeded random numbers: xoshiro128** (Blackman & Vigna 2018) in 32-bit integer arithmetic, so that a seed gives the same
// numbers on every machine. Not for secrets. The native core has its own generator per job.
import { expected } from "./errors";

/** A stream of random numbers. Two streams of one seed are told apart by their numbers. */
export interface Random {
  /** A whole number within 0 … 2^32 − 1. */
  readonly word: () => number;
  /** A number within 0 … 1 (1 excluded), 53 bits. */
  readonly uniform: () => number;
  /** A whole number within 0 … n − 1, every one equally likely; n up to 2^32. */
  readonly below: (n: number) => number;
  /** A number of the normal distribution with mean 0 and variance 1. */
  readonly normal: () => number;
}

const words = 2 ** 32;
const { imul } = Math; // called for every word: looked up once

/** A random stream for a seed; `stream` numbers make independent streams of the same seed (a query, a draw). */
export function createRandom(seed: number, ...stream: readonly number[]): Random {
  const word = xoshiro(seedState([seed, ...stream]));
  const uniform = () => ((word() >>> 5) * 67108864 + (word() >>> 6)) / 9007199254740992;
  return { word, uniform, below: (n) => below(word, n), normal: polarNormal(uniform) };
}

/** Absorbs the numbers (each as two words) and their count into four words of state by a splitmix32 chain. */
function seedState(numbers: readonly number[]): Uint32Array {
  let chain = numbers.length;
  const mix = (input: number) => {
    chain = (chain + input + 0x9e3779b9) | 0;
    let z = chain ^ (chain >>> 16);
    z = imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = imul(z, 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  for (const value of numbers) {
    if (!Number.isSafeInteger(value) || value < 0) throw expected("seed", "a whole number below 2^53", value);
    chain = mix(value % words);
    chain = mix(Math.floor(value / words));
  }
  const state = Uint32Array.of(mix(1), mix(2), mix(3), mix(4));
  return state.some((part) => part !== 0) ? state : Uint32Array.of(1, 0, 0, 0);
}

function xoshiro(state: Uint32Array): () => number {
  let [a, b, c, d] = state as unknown as [number, number, number, number];
  return () => {
    const five = imul(b, 5);
    const result = imul((five << 7) | (five >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result;
  };
}

function below(word: () => number, n: number): number {
  if (!(n >= 1 && n <= words && n % 1 === 0)) throw expected("n", "a whole number within 1–2^32", n);
  const fair = words - (words % n);
  let value = word();
  while (value >= fair) value = word();
  return value % n;
}

/** Marsaglia's polar method; makes two numbers at a time. */
function polarNormal(uniform: () => number): () => number {
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const kept = spare;
      spare = undefined;
      return kept;
    }
    for (;;) {
      const x = 2 * uniform() - 1;
      const y = 2 * uniform() - 1;
      const square = x * x + y * y;
      if (square === 0 || square >= 1) continue;
      const scale = Math.sqrt((-2 * Math.log(square)) / square);
      spare = y * scale;
      return x * scale;
    }
  };
}

/** The items in a random order (Fisher-Yates); the given ones stay as they are. */
export function shuffle<T>(items: ArrayLike<T>, random: Random): T[] {
  const order = Array.from(items);
  for (let last = order.length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    const kept = order[last];
    order[last] = order[other];
    order[other] = kept;
  }
  return order;
}

/** k distinct numbers of 0 … n − 1 in random order, every set equally likely; time and memory O(k). */
export function sampleWithout(n: number, k: number, random: Random): Int32Array {
  if (!Number.isInteger(k) || k < 0 || k > n) throw expected("k", `a whole number within 0–${n}`, k);
  const moved = new Map<number, number>();
  const drawn = new Int32Array(k);
  for (let at = 0; at < k; at++) {
    const other = at + random.below(n - at);
    drawn[at] = moved.get(other) ?? other;
    moved.set(other, moved.get(at) ?? at);
  }
  return drawn;
}
