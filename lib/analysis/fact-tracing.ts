// Fact tracing (Akyürek et al. 2022): where the training instances that state a fact are known, how high does an instance
// attribution rank them? Equal scores are treated as in random order, in expectation, so that a constant score is chance.
import { AttributionError, expected } from "../errors";
import { integer, listOf, onlyKnown } from "../options";
import { requireInstanceAttribution } from "../results/require";
import { rowScores } from "../results/top";
import { bootstrapMean } from "../statistics";
import type { FactTracing } from "../../types/analysis";
import type { InstanceAttribution } from "../../types/results";

export interface FactTracingOptions {
  /** Cut-offs of recall@k. @default [10] */
  readonly k?: readonly number[];
  /** Of the bootstrap intervals. @default 42 */
  readonly seed?: number;
}

/** Where a true instance stands: how many score higher, how many equally (itself included). */
interface Place {
  readonly above: number;
  readonly equal: number;
}

/**
 * Recall@k (share of a query's true instances among its top k) and the mean reciprocal rank of its first true instance. `truth`
 * has one list of training indices per query; queries with none are left out and counted. "invalid" on NaN scores. Cost: one
 * pass over a query's row per different score of a true instance.
 * @example factTracing(influences, truth, { k: [1, 10] }).meanReciprocalRank.mean
 */
export function factTracing(
  attribution: InstanceAttribution,
  truth: readonly ArrayLike<number>[],
  given?: FactTracingOptions,
): FactTracing {
  const options = onlyKnown(given, ["k", "seed"]);
  const seed = integer(options, "seed", 42, 0);
  const cutoffs = cutoffsOf(options["k"] ?? [10]);
  requireInstanceAttribution(attribution, "attribution");
  if (!Array.isArray(truth)) throw expected("truth", "a list of training indices for each query", truth);
  if (truth.length !== attribution.queries) {
    throw new AttributionError(
      "mismatch",
      `Expected the true training instances of ${attribution.queries} queries but received ${truth.length} lists`,
    );
  }
  const reciprocalRanks = new Float64Array(attribution.queries).fill(NaN);
  const recalls = cutoffs.map((): number[] => []);
  truth.forEach((list: ArrayLike<number>, query) => {
    const places = placesOf(rowScores(attribution, query), trueIndices(list, query, attribution.train));
    if (places.length === 0) return;
    reciprocalRanks[query] = expectedReciprocalRank(places);
    cutoffs.forEach((k, at) => recalls[at]?.push(expectedRecall(places, k)));
  });
  const known = reciprocalRanks.filter((value) => !Number.isNaN(value));
  if (known.length === 0)
    throw new AttributionError(
      "invalid",
      "Expected a true training instance for at least one query but no list has one",
    );
  return Object.freeze({
    queries: known.length,
    skipped: attribution.queries - known.length,
    recall: Object.freeze(cutoffs.map((k, at) => Object.freeze({ k, estimate: bootstrapMean(recalls[at], { seed }) }))),
    meanReciprocalRank: bootstrapMean(known, { seed }),
    reciprocalRanks,
  });
}

function cutoffsOf(given: unknown): readonly number[] {
  const isCutoffs = Array.isArray(given) && given.length > 0 && given.every((k) => Number.isInteger(k) && k >= 1);
  if (!isCutoffs) throw expected("k", "a list of whole numbers of at least 1", given);
  return given as number[];
}

function trueIndices(list: ArrayLike<number>, query: number, train: number): Set<number> {
  const indices = new Set(listOf(`truth[${query}]`, "a list of training indices", list));
  for (const index of indices) {
    if (!Number.isInteger(index) || index < 0 || index >= train)
      throw expected(`truth[${query}]`, `training instances within 0–${train - 1}`, index);
  }
  return indices;
}

function placesOf(scores: Float32Array, indices: Set<number>): Place[] {
  const known = new Map<number, Place>();
  return Array.from(indices, (index) => {
    const score = scores[index];
    const place = known.get(score) ?? placeOf(scores, score);
    known.set(score, place);
    return place;
  });
}

function placeOf(scores: Float32Array, own: number): Place {
  let [above, equal] = [0, 0];
  for (const score of scores) {
    if (score > own) above++;
    else if (score === own) equal++;
    else if (!(score < own)) throw new AttributionError("invalid", "Expected scores to rank but one is NaN");
  }
  return { above, equal };
}

/** Each true instance is in the top k with the share of its tie group that fits there. */
function expectedRecall(places: readonly Place[], k: number): number {
  const inTop = ({ above, equal }: Place) => Math.min(1, Math.max(0, (k - above) / equal));
  return places.reduce((sum, place) => sum + inTop(place), 0) / places.length;
}

/** The mean of 1 / rank of the first of t true instances among m equal ones in random order, `above` others before them. */
function expectedReciprocalRank(places: readonly Place[]): number {
  const best = places.reduce((a, b) => (b.above < a.above ? b : a));
  const inGroup = places.filter(({ above }) => above === best.above).length;
  let [sum, chance] = [0, inGroup / best.equal];
  for (let place = 1; place <= best.equal - inGroup + 1; place++) {
    sum += chance / (best.above + place);
    chance *= (best.equal - place - inGroup + 1) / (best.equal - place);
  }
  return sum;
}
