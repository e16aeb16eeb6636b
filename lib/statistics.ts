// Means with intervals, rank statistics and ranking measures over plain numbers. Pure; ties are always averaged.
import { AttributionError, expected } from "./errors";
import { type Direction, rankSteps } from "./ordering";
import { atOnce, type Steps } from "./pacing";
import { createRandom, type Random } from "./random";
import type { Estimate } from "../types/results";

type Numbers = ArrayLike<number>;

/** The arithmetic mean; "invalid" for none. */
export function mean(values: Numbers): number {
  if (values.length === 0)
    throw new AttributionError("invalid", "Expected at least one value to average but received none");
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

export interface BootstrapOptions {
  /** @default 42 */
  readonly seed?: number;
  /** Resamples drawn with replacement. @default 1000 */
  readonly resamples?: number;
  /** Share of the resampled means that the interval holds. @default 0.95 */
  readonly level?: number;
}

/**
 * The mean with its percentile bootstrap interval (Efron 1979): the means of `resamples` samples drawn with replacement, cut at
 * both ends. The same values in the same order and the same seed give the same interval. Cost: resamples × values, about 15 ms for 1,000 values.
 */
export function bootstrapMean(values: Numbers, options: BootstrapOptions = {}): Estimate {
  const { center, level, resamples, resample } = bootstrap(values, options);
  return interval(center, Float64Array.from({ length: resamples }, resample), level);
}

/** The same estimate, giving way to the event loop between resamples: for sums over many instances inside a long call. */
export async function pacedBootstrapMean(
  values: Numbers,
  pace: () => Promise<void>,
  options: BootstrapOptions = {},
): Promise<Estimate> {
  const { center, level, resamples, resample } = bootstrap(values, options);
  const means = new Float64Array(resamples);
  for (let i = 0; i < resamples; i++) {
    means[i] = resample();
    await pace();
  }
  return interval(center, means, level);
}

/**
 * Statistics of `count` units of observation with their bootstrap intervals: `statistics` gets the indices that a resample picks, with
 * repetition, and returns the same number of values each time; the estimates' means are those of all indices once.
 */
export async function pacedBootstrapOf(
  count: number,
  statistics: (picks: Int32Array) => readonly number[],
  pace: () => Promise<void>,
  { seed = 42, resamples = 1000, level = 0.95 }: BootstrapOptions = {},
): Promise<Estimate[]> {
  const centers = statistics(Int32Array.from({ length: count }, (_, i) => i));
  const { below } = createRandom(seed);
  const found = centers.map(() => new Float64Array(resamples));
  for (let i = 0; i < resamples; i++) {
    const values = statistics(Int32Array.from({ length: count }, () => below(count)));
    found.forEach((list, at) => (list[i] = values[at]));
    await pace();
  }
  return centers.map((center, at) => interval(center, found[at], level));
}

function bootstrap(
  values: Numbers,
  { seed = 42, resamples = 1000, level = 0.95 }: BootstrapOptions,
): { center: number; level: number; resamples: number; resample: () => number } {
  const center = mean(values);
  if (!Number.isFinite(center)) throw expected("values", "finite numbers", center);
  if (!Number.isInteger(resamples) || resamples < 1)
    throw expected("resamples", "a whole number of at least 1", resamples);
  if (!(level > 0 && level < 1)) throw expected("level", "a number between 0 and 1", level);
  const own = Float64Array.from(values);
  const { below } = createRandom(seed);
  return { center, level, resamples, resample: () => resampledMean(own, below) };
}

function interval(center: number, means: Float64Array, level: number): Estimate {
  means.sort();
  return Object.freeze({ mean: center, low: quantile(means, (1 - level) / 2), high: quantile(means, (1 + level) / 2) });
}

function resampledMean(values: Float64Array, below: Random["below"]): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[below(values.length)];
  return sum / values.length;
}

/** The value below which a share of sorted values lies, interpolated linearly between neighbours. */
export function quantile(sorted: Numbers, share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  const above = sorted[Math.ceil(at)];
  return below + (above - below) * (at - Math.floor(at));
}

/** Ranks from 1 for the smallest (or the largest) value; equal values share the mean of their ranks. "invalid" on NaN. */
export function ranks(values: Numbers, direction: Direction = "ascending"): Float64Array {
  return atOnce(rankSteps(values, direction));
}

/** Pearson's correlation; NaN where one side does not vary. */
export function pearson(a: Numbers, b: Numbers): number {
  requireOneLength(a, b);
  const [meanA, meanB] = [mean(a), mean(b)];
  let [squaresA, squaresB, products] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] - meanA, b[i] - meanB];
    squaresA += x * x;
    squaresB += y * y;
    products += x * y;
  }
  if (squaresA === 0 || squaresB === 0) return Number.NaN;
  return Math.max(-1, Math.min(1, products / Math.sqrt(squaresA) / Math.sqrt(squaresB)));
}

function requireOneLength(a: Numbers, b: Numbers): void {
  if (a.length === b.length) return;
  throw new AttributionError(
    "mismatch",
    `Expected two lists of one length but received ${a.length} and ${b.length} values`,
  );
}

/** Spearman's rank correlation, ties averaged; NaN where one side does not vary. −∞ is the lowest rank. */
export function spearman(a: Numbers, b: Numbers): number {
  return atOnce(spearmanSteps(a, b));
}

/** The same in steps that share the event loop. */
export function* spearmanSteps(a: Numbers, b: Numbers): Steps<number> {
  requireOneLength(a, b);
  const first = yield* rankSteps(a, "ascending");
  const second = yield* rankSteps(b, "ascending");
  return pearson(first, second);
}

/** Discounted cumulative gain Σ gain_i / log2(i + 2) over 0-based positions i (Järvelin & Kekäläinen 2002), gains as given. */
export function dcg(gains: Numbers, k = gains.length): number {
  let sum = 0;
  for (let i = 0; i < Math.min(k, gains.length); i++) sum += gains[i] / Math.log2(i + 2);
  return sum;
}

/** The gain of a ranking over that of the best order of `ideal` gains (its own by default), within 0–1; 0 where nothing can be gained. */
export function ndcg(
  gains: Numbers,
  { k = gains.length, ideal = gains }: { readonly k?: number; readonly ideal?: Numbers } = {},
): number {
  const best = dcg(Float64Array.from(ideal).sort().reverse(), k);
  return best > 0 ? dcg(gains, k) / best : 0;
}

/** Area under the ROC curve: the chance that a positive scores above a negative, ties counting half. NaN without both. */
export function auc(scores: Numbers, positive: ArrayLike<boolean | number>): number {
  return atOnce(aucSteps(scores, positive));
}

/** The same in steps that share the event loop. */
export function* aucSteps(scores: Numbers, positive: ArrayLike<boolean | number>): Steps<number> {
  if (scores.length !== positive.length)
    throw new AttributionError(
      "mismatch",
      `Expected a class per score but received ${scores.length} scores and ${positive.length} classes`,
    );
  const rank = yield* rankSteps(scores, "ascending");
  let [positives, sum] = [0, 0];
  for (let i = 0; i < rank.length; i++) {
    if (!positive[i]) continue;
    positives++;
    sum += rank[i];
  }
  const negatives = rank.length - positives;
  return (sum - (positives * (positives + 1)) / 2) / (positives * negatives);
}
