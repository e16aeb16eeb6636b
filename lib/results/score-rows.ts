// Collects scores [query, train] as they come, in any blocks: all of them, or the best k of each query without the matrix.
import { AttributionError } from "../errors";
import { bestOf } from "./ranking";
import type { InstanceAttribution } from "../../types/results";
import type { TopInstances } from "../../types/store";

/** What a result says beside its scores. */
export type ScoreLabels = Pick<InstanceAttribution, "queryIds" | "trainIds" | "unit" | "provenance">;

export interface ScoreRows<R> {
  /** Takes the scores of a query with the training instances first, first + 1, … Each pair comes once. */
  readonly add: (query: number, first: number, scores: ArrayLike<number>) => void;
  readonly result: () => R;
}

/** The whole matrix, or with `topK` the best of each query. */
export function scoreRows(
  labels: ScoreLabels,
  topK: number | undefined,
): ScoreRows<InstanceAttribution | TopInstances> {
  return topK === undefined ? wholeRows(labels) : bestOfRows(labels, topK);
}

function wholeRows(labels: ScoreLabels): ScoreRows<InstanceAttribution> {
  const [queries, train] = [labels.queryIds.length, labels.trainIds.length];
  const scores = new Float32Array(queries * train);
  return {
    add: (query, first, row) => scores.set(row, query * train + first),
    result: () => Object.freeze({ kind: "instances", scores, queries, train, ...labels }),
  };
}

function bestOfRows(labels: ScoreLabels, topK: number): ScoreRows<TopInstances> {
  const [queries, train] = [labels.queryIds.length, labels.trainIds.length];
  const k = Math.min(topK, train);
  const indices = new Int32Array(queries * k);
  const scores = new Float32Array(queries * k);
  const best = Array.from({ length: queries }, (_, query) =>
    bestOf(indices.subarray(query * k, (query + 1) * k), scores.subarray(query * k, (query + 1) * k)),
  );
  return {
    add(query, first, row) {
      const entries = best[query];
      let least = entries.least();
      for (let at = 0; at < row.length; at++) {
        const score = Math.fround(row[at]);
        if (score < least) continue;
        if (score !== score) throw notRanked(labels, query, first + at);
        entries.offer(first + at, score);
        least = entries.least();
      }
    },
    result() {
      for (const entries of best) entries.sort();
      return Object.freeze({ kind: "topInstances", indices, scores, queries, k, train, ...labels });
    },
  };
}

function notRanked({ queryIds, trainIds }: ScoreLabels, query: number, train: number): AttributionError {
  return new AttributionError(
    "invalid",
    `Expected scores to rank but that of query "${queryIds[query]}" and training instance "${trainIds[train]}" is NaN`,
  );
}
