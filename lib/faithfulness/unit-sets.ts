// The sets of units that a neuron test changes: the top r of an attribution, and random controls of as many distinct units.
import type { NeuronAttribution } from "../../types/results";
import { expected } from "../errors";
import type { UnitSets } from "../neuron/changed-units";
import { createRandom, type Random, sampleWithout } from "../random";
import { rowScores } from "../results/top";
import { topIndices } from "../results/ranking";

export interface SetPlan {
  /** Sizes r of the curve, none smaller than the one before. */
  readonly sizes: readonly number[];
  /** Random draws beside each. */
  readonly controls: number;
  /** Controls are drawn from the whole site, or as many per layer as the attribution's own set has, or as the beginnings of one random order. */
  readonly controlFrom: "site" | "sameLayers" | "order";
  readonly seed: number;
}

/**
 * Sets of the instances `first` … `first + count`, in the native layout: of each instance for each size the top set, then its
 * controls; units as layer · units + unit.
 */
export async function unitSets(
  attribution: NeuronAttribution,
  plan: SetPlan,
  pace: () => Promise<void>,
  first = 0,
  count = attribution.instances - first,
): Promise<UnitSets> {
  const all = attribution.layers * attribution.units;
  const largest = plan.sizes.at(-1)!;
  if (largest > all) throw expected("r", `at most the site's ${all} units`, largest);
  const sets = plan.sizes.length * (1 + plan.controls);
  const offsets = new Int32Array(count * sets + 1);
  const units = new Int32Array(count * unitsEach(plan));
  let set = 0;
  let end = 0;
  const add = (chosen: Int32Array): void => {
    units.set(chosen, end);
    end += chosen.length;
    offsets[++set] = end;
  };
  for (let instance = first; instance < first + count; instance++) {
    const top = topIndices(rowScores(attribution, instance), largest);
    const drawn = controlsOf(plan, instance, all, attribution.units);
    plan.sizes.forEach((size, at) => {
      add(top.subarray(0, size));
      for (let draw = 0; draw < plan.controls; draw++) add(drawn(top.subarray(0, size), at, draw));
    });
    await pace();
  }
  return { sets, offsets, units };
}

/** Entries that an instance's sets have together. */
export function unitsEach({ sizes, controls }: SetPlan): number {
  return sizes.reduce((sum, size) => sum + size * (1 + controls), 0);
}

/** The control beside a set: which, by the place of its size and the draw's number. */
function controlsOf(
  { controls, controlFrom, seed }: SetPlan,
  instance: number,
  all: number,
  units: number,
): (set: Int32Array, at: number, draw: number) => Int32Array {
  if (controlFrom === "order") {
    const orders = Array.from({ length: controls }, (_, draw) => randomOrder(all, createRandom(seed, instance, draw)));
    return (set, _at, draw) => orders[draw].subarray(0, set.length);
  }
  return (set, at, draw) => {
    const random = createRandom(seed, instance, at, draw);
    return controlFrom === "site" ? sampleWithout(all, set.length, random) : sameLayers(set, units, random);
  };
}

/** The numbers 0 … count − 1 in a random order. */
export function randomOrder(count: number, random: Random): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let last = count - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/** As many distinct units of each layer as the set has, at random. */
function sameLayers(set: Int32Array, units: number, random: Random): Int32Array {
  const counts = new Map<number, number>();
  for (const unit of set) {
    const layer = Math.floor(unit / units);
    counts.set(layer, (counts.get(layer) ?? 0) + 1);
  }
  return Int32Array.from(
    [...counts].flatMap(([layer, count]) =>
      Array.from(sampleWithout(units, count, random), (unit) => layer * units + unit),
    ),
  );
}
