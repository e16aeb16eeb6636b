// One ranking of the training instances over all queries: the sum of their ranks, so that no query's scale outweighs another's.
// Where a fine-tuning test needs a single order of the training set. Pure.
import { ranks } from "../statistics";
import { requireInstanceAttribution } from "../results/require";
import { rowScores } from "../results/top";
import type { InstanceAttribution } from "../../types/results";

export interface GlobalRank {
  /** Of the training instance. */
  readonly index: number;
  readonly id: string;
  /** Σ over queries of its rank, 1 for the highest score; equal scores share the mean of their ranks. Small is influential. */
  readonly rankSum: number;
}

/**
 * All training instances, most influential over all queries first (lowest rank sum), ties by index. "invalid" on NaN scores.
 * Cost: one sort per query.
 * @example const kept = globalRanking(influences).slice(0, 100).map(({ index }) => index);
 */
export function globalRanking(instanceAttribution: InstanceAttribution): GlobalRank[] {
  requireInstanceAttribution(instanceAttribution, "instanceAttribution");
  const { queries, train, trainIds } = instanceAttribution;
  const sums = new Float64Array(train);
  for (let query = 0; query < queries; query++) {
    const rank = ranks(rowScores(instanceAttribution, query), "descending");
    for (let instance = 0; instance < train; instance++) sums[instance] += rank[instance];
  }
  return Array.from(sums, (rankSum, index) => ({ index, id: trainIds[index], rankSum })).sort(
    (a, b) => a.rankSum - b.rankSum || a.index - b.index,
  );
}
