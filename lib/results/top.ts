// Rankings of one row of a result: the best k, or a selection by size or by share of the maximum.
import { AttributionError, expected } from "../errors";
import { descendingOrder, topIndices } from "./ranking";
import { requireAttribution, requireNeuronAttribution } from "./require";
import type {
  Attribution,
  InstanceAttribution,
  NeuronAttribution,
  RankedInstance,
  RankedNeuron,
} from "../../types/results";

/**
 * Which units of a ranking count: all, the best `topK`, or those whose score is above a fraction of the row's maximum
 * (within 0–1, 1 excluded; none where the maximum is not positive). Scores keep their sign.
 */
export type Selection = { readonly keep: "all" } | { readonly topK: number } | { readonly fractionOfMaximum: number };

/**
 * The k highest scores of one row, best first, ties by index; all where k exceeds them. For an `InstanceAttribution` the most
 * helpful training instances of a query, for a `NeuronAttribution` the units of an instance. "invalid" on NaN scores.
 * Cost: one pass over the row.
 * @example top(influences, 0, 10)[0] // { index: 17, score: 3.2, id: "fact-17" }
 */
export function top(attribution: InstanceAttribution, row: number, k: number): RankedInstance[];
export function top(attribution: NeuronAttribution, row: number, k: number): RankedNeuron[];
export function top(attribution: Attribution, row: number, k: number): RankedInstance[] | RankedNeuron[];
export function top(attribution: Attribution, row: number, k: number): RankedInstance[] | RankedNeuron[] {
  requireAttribution(attribution, "attribution");
  if (k !== Infinity && (!Number.isInteger(k) || k < 1)) throw expected("k", "a whole number of at least 1", k);
  const scores = rowScores(attribution, row);
  const indices = topIndices(scores, k);
  return attribution.kind === "instances"
    ? instances(attribution, scores, indices)
    : neurons(attribution, scores, indices);
}

/**
 * The units of one instance that a selection keeps, best first, ties by index. "invalid" on NaN scores.
 * @example select(na, 0, { fractionOfMaximum: 0.2 })[0] // { index: 517, score: 0.4, layer: 2, unit: 5 }
 */
export function select(attribution: NeuronAttribution, row: number, selection: Selection): RankedNeuron[] {
  requireNeuronAttribution(attribution, "attribution");
  const scores = rowScores(attribution, row);
  return neurons(attribution, scores, selectIndices(scores, selection));
}

/** The scores of one row, a view. */
export function rowScores(attribution: Attribution, row: number): Float32Array {
  const [rows, width] =
    attribution.kind === "instances"
      ? [attribution.queries, attribution.train]
      : [attribution.instances, attribution.layers * attribution.units];
  if (!Number.isInteger(row) || row < 0 || row >= rows) throw expected("row", `a row within 0–${rows - 1}`, row);
  return attribution.scores.subarray(row * width, (row + 1) * width);
}

/** Indices that a selection keeps, best first. */
export function selectIndices(scores: Float32Array, selection: Selection): Int32Array {
  if (typeof selection !== "object" || selection === null)
    throw expected("selection", '{ keep: "all" }, { topK } or { fractionOfMaximum }', selection);
  if ("topK" in selection) {
    if (!Number.isInteger(selection.topK) || selection.topK < 1)
      throw expected("topK", "a whole number of at least 1", selection.topK);
    return topIndices(scores, selection.topK);
  }
  if ("fractionOfMaximum" in selection) return aboveFraction(scores, selection.fractionOfMaximum);
  if (selection.keep !== "all")
    throw expected("selection", '{ keep: "all" }, { topK } or { fractionOfMaximum }', selection);
  return descendingOrder(scores);
}

function aboveFraction(scores: Float32Array, fraction: number): Int32Array {
  if (!(fraction >= 0 && fraction < 1))
    throw expected("fractionOfMaximum", "a number within 0–1, 1 excluded", fraction);
  let maximum = 0;
  for (const score of scores) {
    if (Number.isNaN(score)) throw new AttributionError("invalid", "Expected scores to select from but one is NaN");
    if (score > maximum) maximum = score;
  }
  const kept: number[] = [];
  for (let index = 0; index < scores.length; index++) {
    if (scores[index] > fraction * maximum) kept.push(index);
  }
  const order = descendingOrder(Float32Array.from(kept, (index) => scores[index]));
  return order.map((at) => kept[at]);
}

function instances({ trainIds }: InstanceAttribution, scores: Float32Array, indices: Int32Array): RankedInstance[] {
  return Array.from(indices, (index) => ({ index, score: scores[index], id: trainIds[index] }));
}

function neurons({ units }: NeuronAttribution, scores: Float32Array, indices: Int32Array): RankedNeuron[] {
  return Array.from(indices, (index) => ({
    index,
    score: scores[index],
    layer: Math.floor(index / units),
    unit: index % units,
  }));
}
