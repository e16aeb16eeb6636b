// One ranking of the training instances over all queries, by the sum of their ranks: no query's scale outweighs another's. A
// fine-tuning test needs such a single order of the training set. Pure.
import { onlyKnown } from "../options";
import { orderSteps, rankSteps } from "../ordering";
import { everyRow, inSlices, pacedBy, type Steps } from "../pacing";
import { requireInstanceAttribution } from "../results/require";
import { rowScores } from "../results/top";
import type { CallOptions } from "../../types/common";
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
 * Cost: one sort per query, linear in the training instances.
 * @example const kept = (await globalRanking(influences)).slice(0, 100).map(({ index }) => index);
 */
export async function globalRanking(
  instanceAttribution: InstanceAttribution,
  options: CallOptions = {},
): Promise<GlobalRank[]> {
  onlyKnown(options, ["signal", "onProgress"]);
  requireInstanceAttribution(instanceAttribution, "instanceAttribution");
  const { queries, train, trainIds } = instanceAttribution;
  const sums = new Float64Array(train);
  await everyRow(queries, "global ranking", options, function* (query) {
    addTo(sums, yield* rankSteps(rowScores(instanceAttribution, query), "descending"));
  });
  return inSlices(rankingOf(sums, trainIds), pacedBy(options.signal));
}

function* rankingOf(sums: Float64Array, trainIds: readonly string[]): Steps<GlobalRank[]> {
  const ranking: GlobalRank[] = [];
  for (const index of yield* orderSteps(sums, "ascending")) {
    ranking.push({ index, id: trainIds[index], rankSum: sums[index] });
    if (ranking.length % entriesPerStep === 0) yield;
  }
  return ranking;
}

const entriesPerStep = 4096;

function addTo(sums: Float64Array, values: Float64Array): void {
  for (let at = 0; at < sums.length; at++) sums[at] += values[at];
}
