// How far two attributions of one kind agree: IA with NA-Instances over training instances, NA with IA-Neurons over units.
// Counts of different entries, and the layers they lie in. Pure.
import { AttributionError, shown } from "../errors";
import { integer, onlyKnown } from "../options";
import { pacedBy } from "../pacing";
import { requireNeuronAttribution, requireScores } from "../results/require";
import { pacedBootstrapMean } from "../statistics";
import { choiceOptionNames, choicesOf, sharedShare, widthOf, type ChoiceOptions, type Scored } from "./choices";
import type { DistinctCounts, LayerHistogram, Overlap, SetOverlap } from "../../types/analysis";
import type { NeuronAttribution } from "../../types/results";
import type { InstanceScores } from "../../types/store";

export interface OverlapOptions extends ChoiceOptions {
  /** Of the bootstrap interval. @default 42 */
  readonly seed?: number;
}

/**
 * The share of chosen entries that two attributions have in common, per row (query) and over all rows as sets. Both must have
 * the same rows and entries ("mismatch" otherwise).
 * @example (await overlap(influences, await naInstances(queryNeurons, trainNeurons), { k: 10 })).mean.mean // 0.21
 */
export function overlap(a: InstanceScores, b: InstanceScores, options?: OverlapOptions): Promise<Overlap>;
export function overlap(a: NeuronAttribution, b: NeuronAttribution, options?: OverlapOptions): Promise<Overlap>;
export async function overlap(a: Scored, b: Scored, options: OverlapOptions = {}): Promise<Overlap> {
  const known = onlyKnown(options, [...choiceOptionNames, "seed"]);
  const k = integer(known, "k", 10, 1);
  const seed = integer(known, "seed", 42, 0);
  requireScores(a, "a");
  requireScores(b, "b");
  requireSameEntries(a, b);
  const [first, second] = [await choicesOf(a, k, options), await choicesOf(b, k, options)];
  const perRow = Float64Array.from(first, (choice, row) => sharedShare(choice, second[row]));
  return Object.freeze({
    k,
    perRow,
    mean: await pacedBootstrapMean(perRow, pacedBy(options.signal), { seed }),
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
 * @example (await distinctCounts(influences, { k: 10 })).share // near 0: the same instances for every query
 */
export async function distinctCounts(attribution: Scored, options: ChoiceOptions = {}): Promise<DistinctCounts> {
  const k = integer(onlyKnown(options, choiceOptionNames), "k", 10, 1);
  requireScores(attribution, "attribution");
  const choices = await choicesOf(attribution, k, options);
  const chosen = choices.reduce((sum, choice) => sum + choice.length, 0);
  const distinct = union(choices).size;
  return Object.freeze({ k, chosen, distinct, share: chosen === 0 ? 0 : distinct / chosen });
}

/**
 * In which layers the top k units of every row lie.
 * @example (await layerHistogram(na, { k: 100 })).shares // [layer], sums to 1
 */
export async function layerHistogram(
  attribution: NeuronAttribution,
  options: ChoiceOptions = {},
): Promise<LayerHistogram> {
  const k = integer(onlyKnown(options, choiceOptionNames), "k", 10, 1);
  requireNeuronAttribution(attribution, "attribution");
  const choices = await choicesOf(attribution, k, options);
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
export function requireSameEntries(a: Scored, b: Scored): void {
  if ((a.kind === "neurons") !== (b.kind === "neurons"))
    throw new AttributionError(
      "mismatch",
      `Expected two attributions of one kind but received "${a.kind}" and "${b.kind}"`,
    );
  if (a.kind !== "neurons" && b.kind !== "neurons") {
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
