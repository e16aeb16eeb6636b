// What circuits are measured by: F with only the first units of an order kept, and the share of the behaviour that this leaves.
import type { CallOptions } from "../../types/common";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution, Provenance } from "../../types/results";
import { AttributionError } from "../errors";
import { checkFit } from "../model/fit";
import { libtorchVersion } from "../native";
import { shownBaseline } from "../neuron/baseline";
import { changeUnits } from "../neuron/changed-units";
import { shownTarget, targetOf, targetOptionNames, type TargetOptions } from "../neuron/target";
import { integer, oneOf, seedOf } from "../options";
import { descendingOrder } from "../ordering";
import { provenance } from "../provenance";
import { createRandom } from "../random";
import { requireNeuronAttribution } from "../results/require";
import { rowScores } from "../results/top";
import { checkRows, checkUnits, partOf, type SetOptions, setOptionNames, unitsAtOnce } from "./curve";
import { requireModelOf } from "./same-model";
import { randomOrder } from "./unit-sets";

export interface KeptOptions extends SetOptions, TargetOptions {
  /** "score": units that raise F most first. "magnitude": those with the largest score of either sign first. @default "score" */
  readonly order?: "score" | "magnitude";
}

export const keptOptionNames = [...setOptionNames, ...targetOptionNames, "order"] as const;

/** Orders of the site's units over some instances, and how the units that are not kept change. */
export interface Kept {
  /** Units of the site over all layers. */
  readonly all: number;
  readonly controls: number;
  readonly seed: number;
  readonly order: "score" | "magnitude";
  /** [layer · units + unit] the attribution's mean over its rows. */
  readonly meanScores: Float64Array;
  /** F of the unchanged instances, and with the first units of the orders kept: [instance, draw, size]; draw 0 is the attribution's order. */
  readonly measure: (sizes: readonly number[], draws: readonly number[], call?: CallOptions) => Promise<Measured>;
}

export interface Measured {
  readonly all: Float64Array;
  readonly values: Float64Array;
}

export function keptUnits(
  model: Model,
  instances: Instances,
  attribution: NeuronAttribution,
  per: "task" | "instance",
  given: Readonly<Record<string, unknown>>,
  options: KeptOptions | undefined,
): Kept {
  checkFit(model, instances, "instances");
  requireNeuronAttribution(attribution, "attribution");
  checkUnits(model, attribution);
  if (per === "instance") checkRows(instances, attribution);
  requireModelOf(model, attribution, given);
  const order = oneOf(given, "order", "score", ["score", "magnitude"]);
  const seed = seedOf(given);
  const all = attribution.layers * attribution.units;
  const target = targetOf(given, instances);
  const meanScores = meanRow(attribution);
  const rank = (scores: ArrayLike<number>): Int32Array =>
    descendingOrder(order === "score" ? scores : Float64Array.from(scores, Math.abs));
  const task = per === "task" ? rank(meanScores) : undefined;
  const orderOf = (instance: number, draw: number): Int32Array => {
    if (draw > 0) return randomOrder(all, createRandom(seed, per === "task" ? 0 : instance, draw));
    return task ?? rank(rowScores(attribution, instance));
  };
  const measure = async (
    sizes: readonly number[],
    draws: readonly number[],
    call: CallOptions = {},
  ): Promise<Measured> => {
    const sets = draws.length * sizes.length;
    const found = { all: new Float64Array(instances.size), values: new Float64Array(instances.size * sets) };
    const each = draws.length * sizes.reduce((sum, size) => sum + size, 0);
    const block = Math.max(1, Math.floor(unitsAtOnce / Math.max(1, each)));
    for (let first = 0; first < instances.size; first += block) {
      const count = Math.min(block, instances.size - first);
      const part = partOf(instances, target, first, count);
      const changed = await changeUnits(
        model,
        part.instances,
        setsOf(orderOf, sizes, draws, first, count),
        { site: attribution.site, change: "keepOnly", baseline: options?.baseline, target: part.target },
        given,
        { signal: call.signal, onProgress: within(call, first, instances.size) },
      );
      found.all.set(changed.values, first);
      found.values.set(changed.changedValues, first * sets);
    }
    return found;
  };
  return { all, controls: integer(given, "controls", 10, 1, 1000), seed, order, meanScores, measure };
}

function within({ onProgress }: CallOptions, first: number, total: number): CallOptions["onProgress"] {
  return onProgress && ((p) => onProgress({ ...p, done: first + p.done, total }));
}

function setsOf(
  orderOf: (instance: number, draw: number) => Int32Array,
  sizes: readonly number[],
  draws: readonly number[],
  first: number,
  count: number,
): { sets: number; offsets: Int32Array; units: Int32Array } {
  const sets = draws.length * sizes.length;
  const offsets = new Int32Array(count * sets + 1);
  const units = new Int32Array(count * draws.length * sizes.reduce((sum, size) => sum + size, 0));
  let [set, end] = [0, 0];
  for (let instance = first; instance < first + count; instance++) {
    for (const draw of draws) {
      const order = orderOf(instance, draw);
      for (const size of sizes) {
        units.set(order.subarray(0, size), end);
        end += size;
        offsets[++set] = end;
      }
    }
  }
  return { sets, offsets, units };
}

function meanRow(attribution: NeuronAttribution): Float64Array {
  const mean = new Float64Array(attribution.layers * attribution.units);
  for (let row = 0; row < attribution.instances; row++) {
    const scores = rowScores(attribution, row);
    for (let i = 0; i < mean.length; i++) mean[i] += scores[i] / attribution.instances;
  }
  return mean;
}

/**
 * f of each set over the instances `picks`: (m(C) − m(∅)) / (m(N) − m(∅)), m the mean of F. [set]
 * `none` is F [instance] without any unit.
 */
export function faithfulnessOf(
  { all, values }: Measured,
  none: Float64Array,
  picks: ArrayLike<number>,
  sets: number,
): Float64Array {
  const sums = new Float64Array(sets);
  let [whole, empty] = [0, 0];
  for (let at = 0; at < picks.length; at++) {
    const instance = picks[at];
    whole += all[instance];
    empty += none[instance];
    for (let set = 0; set < sets; set++) sums[set] += values[instance * sets + set];
  }
  return sums.map((sum) => (sum - empty) / (whole - empty));
}

/** Mean F with all and with no units; "invalid" where they are the same, so that no set has a share. */
export function endsOf(all: Float64Array, none: Float64Array): { readonly all: number; readonly none: number } {
  const mean = (list: Float64Array): number => list.reduce((sum, value) => sum + value, 0) / list.length;
  const ends = { all: mean(all), none: mean(none) };
  if (!(Math.abs(ends.all - ends.none) > 1e-6 * Math.max(Math.abs(ends.all), Math.abs(ends.none))))
    throw new AttributionError(
      "invalid",
      `Expected units that matter, but F is ${ends.all} with all of the site's units and ${ends.none} with none. Choose another target, baseline or site`,
    );
  return ends;
}

/** How a circuit or its curve was made; `own` are the options that only one of them has. */
export function provenanceOf(
  method: "circuit" | "circuitCurve",
  own: Readonly<Record<string, unknown>>,
  made: {
    readonly model: Model;
    readonly instances: Instances;
    readonly attribution: NeuronAttribution;
    readonly kept: Kept;
    readonly given: Readonly<Record<string, unknown>>;
    readonly options: KeptOptions | undefined;
  },
): Provenance {
  const { model, instances, attribution, kept, given, options } = made;
  return provenance({
    method,
    options: {
      ...own,
      order: kept.order,
      controls: kept.controls,
      seed: kept.seed,
      baseline: shownBaseline(options?.baseline),
      ...shownTarget(targetOf(given, instances)),
      attribution: attribution.provenance.method,
    },
    model,
    data: { instances },
    libtorch: libtorchVersion(),
  });
}
