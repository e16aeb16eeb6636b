// The pairs of a query and a training instance that are taken apart.
import type { InstanceAttribution } from "../../../types/results";
import type { TopInstances } from "../../../types/store";
import { AttributionError, expected } from "../../errors";
import { integer } from "../../options";
import { topIndices } from "../../results/ranking";
import { rowScores } from "../../results/top";
import type { BreakdownOptions, BreakdownRequest } from "./request";

/** The pairs of the options `pairs` or `topK`. */
export function pairsOf(
  attribution: InstanceAttribution | TopInstances,
  { pairs, topK }: Pick<BreakdownOptions, "pairs" | "topK">,
): BreakdownRequest["pairs"] {
  if (pairs !== undefined) {
    if (topK !== undefined)
      throw new AttributionError("invalid", `"pairs" and "topK" both say which scores: give one of them`);
    return givenPairs(attribution, pairs);
  }
  const isTop = attribution.kind === "topInstances";
  const most = isTop ? attribution.k : attribution.train;
  const k = Math.min(most, integer({ topK }, "topK", isTop ? most : 10, 1));
  const best = (query: number) =>
    isTop
      ? attribution.indices.subarray(query * attribution.k, query * attribution.k + k)
      : topIndices(rowScores(attribution, query), k);
  const trains = Array.from({ length: attribution.queries }, (_, query) => Array.from(best(query))).flat();
  return { queries: Int32Array.from(trains, (_, i) => Math.floor(i / k)), trains: Int32Array.from(trains) };
}

function givenPairs({ queries, train }: InstanceAttribution | TopInstances, pairs: unknown): BreakdownRequest["pairs"] {
  const isIndex = (value: unknown, size: number) =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) < size;
  const isPair = (pair: unknown) =>
    Array.isArray(pair) && pair.length === 2 && isIndex(pair[0], queries) && isIndex(pair[1], train);
  if (!Array.isArray(pairs) || pairs.length === 0 || !pairs.every(isPair))
    throw expected("pairs", `a list of [query, train] with indices within 0–${queries - 1} and 0–${train - 1}`, pairs);
  const list = pairs as [number, number][];
  return { queries: Int32Array.from(list, ([query]) => query), trains: Int32Array.from(list, ([, z]) => z) };
}
