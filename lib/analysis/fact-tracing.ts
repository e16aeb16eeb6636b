// Fact tracing (Akyürek et al. 2022): where the training instances that state a fact are known, how high does an instance
// attribution rank them? Equal scores are treated as in random order, in expectation, so that a constant score is chance.
import { AttributionError, expected } from "../errors";
import { integer, listOf, onlyKnown } from "../options";
import { everyRow, pacedBy, type Steps } from "../pacing";
import { requireInstanceAttribution } from "../results/require";
import { rowScores } from "../results/top";
import { pacedBootstrapMean } from "../statistics";
import type { FactTracing } from "../../types/analysis";
import type { CallOptions } from "../../types/common";
import type { Estimate, InstanceAttribution } from "../../types/results";

export interface FactTracingOptions extends CallOptions {
  /** Cut-offs of recall@k. @default [10] */
  readonly k?: readonly number[];
  /** Of the bootstrap intervals. @default 42 */
  readonly seed?: number;
}

/** The rank of a true instance: how many score higher, how many equally (itself included). */
interface TiedRank {
  readonly above: number;
  readonly equal: number;
}

/**
 * Recall@k (share of a query's true instances among its top k) and the mean reciprocal rank of its first true instance. `truth`
 * has one list of training indices per query; queries with none are left out and counted. "invalid" on NaN scores. Cost: one
 * pass over a query's row per different score of a true instance.
 * @example (await factTracing(influences, truth, { k: [1, 10] })).meanReciprocalRank.mean
 */
export async function factTracing(
  attribution: InstanceAttribution,
  truth: readonly ArrayLike<number>[],
  options: FactTracingOptions = {},
): Promise<FactTracing> {
  const known = onlyKnown(options, ["k", "seed", "signal", "onProgress"]);
  const seed = integer(known, "seed", 42, 0);
  const cutoffs = cutoffsOf(known["k"] ?? [10]);
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
  await everyRow(attribution.queries, "fact tracing", options, function* (query) {
    const scores = rowScores(attribution, query);
    const list = truth[query] as ArrayLike<number>;
    const ranks = yield* tiedRanks(scores, trueIndices(list, query, attribution.train));
    if (ranks.length === 0) return;
    reciprocalRanks[query] = expectedReciprocalRank(ranks);
    cutoffs.forEach((k, at) => recalls[at].push(expectedRecall(ranks, k)));
  });
  const found = reciprocalRanks.filter((value) => !Number.isNaN(value));
  if (found.length === 0)
    throw new AttributionError(
      "invalid",
      "Expected a true training instance for at least one query but no list has one",
    );
  const pace = pacedBy(options.signal);
  const recall: { readonly k: number; readonly estimate: Estimate }[] = [];
  for (const [at, k] of cutoffs.entries())
    recall.push(Object.freeze({ k, estimate: await pacedBootstrapMean(recalls[at], pace, { seed }) }));
  return Object.freeze({
    queries: found.length,
    skipped: attribution.queries - found.length,
    recall: Object.freeze(recall),
    meanReciprocalRank: await pacedBootstrapMean(found, pace, { seed }),
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

function* tiedRanks(scores: Float32Array, indices: Set<number>): Steps<TiedRank[]> {
  const known = new Map<number, TiedRank>();
  const ranks: TiedRank[] = [];
  for (const index of indices) {
    const score = scores[index];
    const rank = known.get(score) ?? tiedRank(scores, score);
    known.set(score, rank);
    ranks.push(rank);
    yield;
  }
  return ranks;
}

function tiedRank(scores: Float32Array, own: number): TiedRank {
  let [above, equal] = [0, 0];
  for (const score of scores) {
    if (score > own) above++;
    else if (score === own) equal++;
    else if (!(score < own)) throw new AttributionError("invalid", "Expected scores to rank but one is NaN");
  }
  return { above, equal };
}

/** Each true instance is in the top k with the share of its tie group that fits there. */
function expectedRecall(ranks: readonly TiedRank[], k: number): number {
  const inTop = ({ above, equal }: TiedRank) => Math.min(1, Math.max(0, (k - above) / equal));
  return ranks.reduce((sum, rank) => sum + inTop(rank), 0) / ranks.length;
}

/** The mean of 1 / rank of the first of t true instances among m equal ones in random order, `above` others before them. */
function expectedReciprocalRank(ranks: readonly TiedRank[]): number {
  const best = ranks.reduce((a, b) => (b.above < a.above ? b : a));
  const inGroup = ranks.filter(({ above }) => above === best.above).length;
  let [sum, chance] = [0, inGroup / best.equal];
  for (let rank = 1; rank <= best.equal - inGroup + 1; rank++) {
    sum += chance / (best.above + rank);
    chance *= (best.equal - rank - inGroup + 1) / (best.equal - rank);
  }
  return sum;
}
