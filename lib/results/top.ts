// Rankings of one row of a result: the first k of either end, or a selection by size or by share of the maximum.
import { AttributionError, expected } from "../errors";
import { oneOf, onlyKnown } from "../options";
import { descendingOrder, notANumber } from "../ordering";
import { firstIndices, topIndices } from "./ranking";
import { isJoint, requireNeuronAttribution, requireScores } from "./require";
import type {
  Attribution,
  JointAttribution,
  NeuronAttribution,
  RankedInstance,
  RankedNeuron,
  RankedPart,
} from "../../types/results";
import type { InstanceScores, TopInstances } from "../../types/store";

/**
 * Which units of a ranking count: all, the best `topK`, or those whose score is above a fraction of the row's maximum
 * (within 0–1, 1 excluded; none where the maximum is not positive). Scores keep their sign.
 */
export type Selection = { readonly keep: "all" } | { readonly topK: number } | { readonly fractionOfMaximum: number };

export interface TopOptions {
  /**
   * "proponents": highest scores first. "opponents": lowest scores first, i.e. the training instances that raise the query's loss
   * most, or the units that lower the target most. @default "proponents"
   */
  readonly order?: "proponents" | "opponents";
}

/**
 * The first k scores of one row, ties by index; all where k exceeds them. Of instance scores the training instances of a query, of
 * a `NeuronAttribution` the units of an instance. Of a `JointAttribution` the row is a pair: its units by the magnitude of their parts,
 * no more than it keeps, in no other order. A `TopInstances` has the proponents that it holds and no opponents ("invalid").
 * "invalid" on NaN scores too. Cost: one pass over the row.
 * @example top(influences, 0, 10)[0] // { index: 17, score: 3.2, id: "fact-17" }
 * @example top(influences, 0, 3, { order: "opponents" })
 */
export function top(attribution: InstanceScores, row: number, k: number, options?: TopOptions): RankedInstance[];
export function top(attribution: NeuronAttribution, row: number, k: number, options?: TopOptions): RankedNeuron[];
export function top(attribution: JointAttribution, pair: number, k: number): RankedPart[];
export function top(
  attribution: Attribution | TopInstances,
  row: number,
  k: number,
  options?: TopOptions,
): RankedInstance[] | RankedNeuron[];
export function top(
  attribution: Attribution | TopInstances | JointAttribution,
  row: number,
  k: number,
  options?: TopOptions,
): RankedInstance[] | RankedNeuron[] {
  const order = oneOf(onlyKnown(options, ["order"]), "order", "proponents", ["proponents", "opponents"]);
  if (!isJoint(attribution)) requireScores(attribution, "attribution");
  if (k !== Infinity && (!Number.isInteger(k) || k < 1)) throw expected("k", "a whole number of at least 1", k);
  if (attribution.kind === "joint") return unitsOfPair(attribution, row, k, order);
  if (attribution.kind === "topInstances") return held(attribution, row, k, order);
  const scores = rowScores(attribution, row);
  const indices = firstIndices(scores, k, order === "proponents" ? "descending" : "ascending");
  return attribution.kind === "instances"
    ? instances(attribution.trainIds, indices, scores)
    : neurons(attribution, scores, indices);
}

function unitsOfPair(
  { pairs, units, site, ...joint }: JointAttribution,
  pair: number,
  k: number,
  order: "proponents" | "opponents",
): RankedPart[] {
  if (order === "opponents")
    throw new AttributionError("invalid", "A JointAttribution holds a pair's units by magnitude, in no other order");
  requireRow(pair, pairs);
  const kept = joint.indices.length / pairs;
  const row = joint.indices.subarray(pair * kept, pair * kept + Math.min(k, kept));
  return Array.from(row, (index, at) =>
    Object.freeze({
      index,
      layer: Math.floor(index / units),
      unit: index % units,
      site,
      score: joint.parts[pair * kept + at],
    }),
  );
}

function held(best: TopInstances, row: number, k: number, order: "proponents" | "opponents"): RankedInstance[] {
  if (order === "opponents")
    throw new AttributionError(
      "invalid",
      "A TopInstances holds the proponents of each query only: compute the attribution without topK to see opponents",
    );
  requireRow(row, best.queries);
  const [begin, end] = [row * best.k, row * best.k + Math.min(k, best.k)];
  const indices = best.indices.subarray(begin, end);
  return Array.from(indices, (index, at) => ({ index, score: best.scores[begin + at], id: best.trainIds[index] }));
}

/**
 * Indices of the k best training instances of a query, best first. "mismatch" where a TopInstances holds fewer than k and not all.
 */
export function bestInstances(attribution: InstanceScores, query: number, k: number): Int32Array {
  if (attribution.kind === "instances") return topIndices(rowScores(attribution, query), k);
  requireRow(query, attribution.queries);
  if (attribution.k < Math.min(k, attribution.train))
    throw new AttributionError(
      "mismatch",
      `Expected the best ${k} training instances of each query but the TopInstances holds ${attribution.k}: compute it with topK: ${k} or more`,
    );
  return attribution.indices.subarray(query * attribution.k, query * attribution.k + Math.min(k, attribution.k));
}

/** The scores of those instances. */
export function scoresAt(attribution: InstanceScores, query: number, indices: Int32Array): Float32Array {
  if (attribution.kind === "topInstances")
    return attribution.scores.subarray(query * attribution.k, query * attribution.k + indices.length);
  const scores = rowScores(attribution, query);
  return Float32Array.from(indices, (index) => scores[index]);
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
  requireRow(row, rows);
  return attribution.scores.subarray(row * width, (row + 1) * width);
}

function requireRow(row: number, rows: number): void {
  if (!Number.isInteger(row) || row < 0 || row >= rows) throw expected("row", `a row within 0–${rows - 1}`, row);
}

/** "invalid" for anything but a selection. */
export function requireSelection(selection: unknown, name: string): asserts selection is Selection {
  if (typeof selection !== "object" || selection === null) throw noSelection(name, selection);
  const { topK, fractionOfMaximum, keep } = selection as Readonly<Record<string, unknown>>;
  if (topK !== undefined) {
    if (!Number.isInteger(topK) || (topK as number) < 1) throw expected("topK", "a whole number of at least 1", topK);
  } else if (fractionOfMaximum !== undefined) {
    const isFraction = typeof fractionOfMaximum === "number" && fractionOfMaximum >= 0 && fractionOfMaximum < 1;
    if (!isFraction) throw expected("fractionOfMaximum", "a number within 0–1, 1 excluded", fractionOfMaximum);
  } else if (keep !== "all") throw noSelection(name, selection);
}

function noSelection(name: string, value: unknown): AttributionError {
  return expected(name, '{ keep: "all" }, { topK } or { fractionOfMaximum }', value);
}

/** Indices that a selection keeps, best first. */
export function selectIndices(scores: Float32Array, selection: Selection): Int32Array {
  requireSelection(selection, "selection");
  if ("topK" in selection) return topIndices(scores, selection.topK);
  if ("fractionOfMaximum" in selection) return aboveFraction(scores, selection.fractionOfMaximum);
  return descendingOrder(scores);
}

function aboveFraction(scores: Float32Array, fraction: number): Int32Array {
  let maximum = 0;
  for (let index = 0; index < scores.length; index++) {
    if (Number.isNaN(scores[index])) throw notANumber(index);
    if (scores[index] > maximum) maximum = scores[index];
  }
  const kept: number[] = [];
  for (let index = 0; index < scores.length; index++) if (scores[index] > fraction * maximum) kept.push(index);
  return descendingOrder(Float32Array.from(kept, (index) => scores[index])).map((at) => kept[at]);
}

function instances(trainIds: readonly string[], indices: Int32Array, scores: Float32Array): RankedInstance[] {
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
