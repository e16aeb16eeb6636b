// How far two attributions of one kind agree: IA with NA-Instances over training instances, NA with IA-Neurons over units.
// Counts of different entries, and the layers they lie in. Pure.
import { AttributionError, shown } from "../errors";
import { integer, onlyKnown } from "../options";
import { requireAttribution, requireNeuronAttribution } from "../results/require";
import { bootstrapMean } from "../statistics";
import { choicesOf, sharedShare, widthOf, type ChoiceOptions } from "./choices";
import type { DistinctCounts, LayerHistogram, Overlap, SetOverlap } from "../../types/analysis";
import type { Attribution, InstanceAttribution, NeuronAttribution } from "../../types/results";

export interface OverlapOptions extends ChoiceOptions {
  /** Of the bootstrap interval. @default 42 */
  readonly seed?: number;
}

/**
 * The share of chosen entries that two attributions have in common, per row (query) and over all rows as sets. Both must have
 * the same rows and entries ("mismatch" otherwise).
 * @example overlap(influences, naInstances(queryNeurons, trainNeurons), { k: 10 }).mean // { mean: 0.21, low: …, high: … }
 */
export function overlap(a: InstanceAttribution, b: InstanceAttribution, options?: OverlapOptions): Overlap;
export function overlap(a: NeuronAttribution, b: NeuronAttribution, options?: OverlapOptions): Overlap;
export function overlap(a: Attribution, b: Attribution, given?: OverlapOptions): Overlap {
  const options = onlyKnown(given, ["k", "seed"]);
  const k = integer(options, "k", 10, 1);
  requireAttribution(a, "a");
  requireAttribution(b, "b");
  requireSameEntries(a, b);
  const [first, second] = [choicesOf(a, k), choicesOf(b, k)];
  const perRow = Float64Array.from(first, (choice, row) => sharedShare(choice, second[row]));
  return Object.freeze({
    k,
    perRow,
    mean: bootstrapMean(perRow, { seed: integer(options, "seed", 42, 0) }),
    chance: Math.min(1, k / widthOf(a)),
    sets: setOverlap(first, second),
  });
}

function setOverlap(first: readonly Int32Array[], second: readonly Int32Array[]): SetOverlap {
  const [a, b] = [union(first), union(second)];
  const shared = [...b].filter((index) => a.has(index)).length;
  const all = a.size + b.size - shared;
  return Object.freeze({ first: a.size, second: b.size, shared, jaccard: all === 0 ? 0 : shared / all });
}

function union(choices: readonly Int32Array[]): Set<number> {
  const all = new Set<number>();
  for (const choice of choices) for (const index of choice) all.add(index);
  return all;
}

/**
 * How many different training instances or units the rows choose: few means that all predictions share them.
 * @example distinctCounts(influences, { k: 10 }).share // near 0: the same instances for every query
 */
export function distinctCounts(attribution: Attribution, options?: ChoiceOptions): DistinctCounts {
  const k = integer(onlyKnown(options, ["k"]), "k", 10, 1);
  requireAttribution(attribution, "attribution");
  const choices = choicesOf(attribution, k);
  const chosen = choices.reduce((sum, choice) => sum + choice.length, 0);
  const distinct = union(choices).size;
  return Object.freeze({ k, chosen, distinct, share: chosen === 0 ? 0 : distinct / chosen });
}

/**
 * In which layers the top k units of every row lie.
 * @example layerHistogram(na, { k: 100 }).shares // [layer], sums to 1
 */
export function layerHistogram(attribution: NeuronAttribution, options?: ChoiceOptions): LayerHistogram {
  const k = integer(onlyKnown(options, ["k"]), "k", 10, 1);
  requireNeuronAttribution(attribution, "attribution");
  const choices = choicesOf(attribution, k);
  const counts = new Float64Array(attribution.layers);
  const distinct = new Float64Array(attribution.layers);
  const count = (tally: Float64Array, indices: Iterable<number>) => {
    for (const index of indices) {
      const layer = Math.floor(index / attribution.units);
      tally[layer] += 1;
    }
  };
  for (const choice of choices) count(counts, choice);
  count(distinct, union(choices));
  const all = counts.reduce((sum, part) => sum + part, 0);
  return Object.freeze({ k, counts, shares: counts.map((part) => (all === 0 ? 0 : part / all)), distinct });
}

/** "mismatch" unless both attributions have the same rows and the same entries. */
export function requireSameEntries(a: Attribution, b: Attribution): void {
  if (a.kind !== b.kind)
    throw new AttributionError(
      "mismatch",
      `Expected two attributions of one kind but received "${a.kind}" and "${b.kind}"`,
    );
  if (a.kind === "instances" && b.kind === "instances") {
    requireSameIds("queries", a.queryIds, b.queryIds);
    requireSameIds("training instances", a.trainIds, b.trainIds);
  }
  if (a.kind === "neurons" && b.kind === "neurons") {
    requireSameIds("instances", a.instanceIds, b.instanceIds);
    if (a.site !== b.site || a.layers !== b.layers || a.units !== b.units) {
      throw new AttributionError(
        "mismatch",
        `Expected the same units but received ${a.layers} × ${a.units} ${a.site} and ${b.layers} × ${b.units} ${b.site}`,
      );
    }
  }
}

function requireSameIds(what: string, a: readonly string[], b: readonly string[]): void {
  if (a.length !== b.length)
    throw new AttributionError("mismatch", `Expected the same ${what} but received ${a.length} and ${b.length}`);
  const at = a.findIndex((id, index) => id !== b[index]);
  if (at >= 0)
    throw new AttributionError(
      "mismatch",
      `Expected the same ${what} in the same order, but number ${at} is ${shown(a[at])} in one and ${shown(b[at])} in the other`,
    );
}
