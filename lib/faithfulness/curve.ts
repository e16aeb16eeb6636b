// What all curves over unit sets share: F and the prediction of every instance with the sets of every size changed, in blocks whose
// sets fit in memory. Sufficiency, comprehensiveness, deletion and insertion differ in what they change and what they report.
import type { CallOptions } from "../../types/common";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeTarget, NativeUnitSetResult } from "../../types/native";
import type { NeuronAttribution } from "../../types/results";
import { pacedBy } from "../pacing";
import { selectInstances } from "../data/instances";
import { AttributionError } from "../errors";
import type { BatchOptions } from "../model/batching";
import { batchOptionNames } from "../model/batching";
import { type Change, changeUnits } from "../neuron/changed-units";
import type { Baseline } from "../neuron/baseline";
import { unitsOf } from "../neuron/neuron-scores";
import { requireModelOf, type SameModelOptions } from "./same-model";
import { type SetPlan, unitSets, unitsEach } from "./unit-sets";

export interface SetOptions extends BatchOptions, SameModelOptions {
  /** Random draws beside each set. @default 10 */
  readonly controls?: number;
  /** What removed units become: zero, their mean (`meanActivations`), or given values. @default "zero" */
  readonly baseline?: Baseline;
  /** Of the draws and the intervals. @default 42 */
  readonly seed?: number;
  /** What a batch's prefix cache and changed rows may take together. @default "1 GB" */
  readonly memory?: number | string;
  /** "cache": one-token rows over the prefix; "full": one full forward per set, the slow reference. @default "cache" */
  readonly engine?: "cache" | "full";
}

export const setOptionNames = [
  ...batchOptionNames,
  "controls",
  "baseline",
  "seed",
  "memory",
  "engine",
  "acrossModels",
] as const;

/** One size of the curve, per instance: the set's F and whether it flips the prediction; of the controls the mean. */
export interface CurveColumn {
  readonly value: Float64Array;
  readonly flip: Float64Array;
  readonly randomValue: Float64Array;
  readonly randomFlip: Float64Array;
}

export interface Curve {
  /** [instance] F of the unchanged model. */
  readonly values: Float64Array;
  /** One per size. */
  readonly columns: readonly CurveColumn[];
}

/** Set entries that a native call gets at a time: 16 MB. */
export const unitsAtOnce = 1 << 22;

export async function curveOf(
  model: Model,
  instances: Instances,
  attribution: NeuronAttribution,
  plan: SetPlan,
  change: Change,
  given: Readonly<Record<string, unknown>>,
  call?: CallOptions,
): Promise<Curve> {
  checkUnits(model, attribution);
  checkRows(instances, attribution);
  requireModelOf(model, attribution, given);
  const pace = pacedBy(call?.signal);
  const column = (): Float64Array => new Float64Array(instances.size);
  const curve: Curve = {
    values: column(),
    columns: plan.sizes.map(() => ({ value: column(), flip: column(), randomValue: column(), randomFlip: column() })),
  };
  const block = Math.max(1, Math.floor(unitsAtOnce / Math.max(1, unitsEach(plan))));
  for (let first = 0; first < instances.size; first += block) {
    const count = Math.min(block, instances.size - first);
    const part = partOf(instances, change.target, first, count);
    const sets = await unitSets(attribution, plan, pace, first, count);
    const onProgress =
      call?.onProgress &&
      ((p: { done: number; stage: string }) => call.onProgress!({ ...p, done: first + p.done, total: instances.size }));
    fill(
      curve,
      plan,
      await changeUnits(model, part.instances, sets, { ...change, target: part.target }, given, {
        signal: call?.signal,
        onProgress,
      }),
      first,
    );
  }
  return curve;
}

/** Some of the instances, with their part of the target. */
export function partOf(
  instances: Instances,
  target: NativeTarget,
  first: number,
  count: number,
): { instances: Instances; target: NativeTarget } {
  if (count === instances.size) return { instances, target };
  const { labels, contrast } = target;
  const cut = (list: Int32Array): Int32Array => list.slice(first, first + count);
  return {
    instances: selectInstances(
      instances,
      Array.from({ length: count }, (_, i) => first + i),
    ),
    target: {
      ...target,
      labels: typeof labels === "string" ? labels : cut(labels),
      ...(contrast && { contrast: cut(contrast) }),
    },
  };
}

function fill(curve: Curve, { sizes, controls }: SetPlan, changed: NativeUnitSetResult, first: number): void {
  const sets = sizes.length * (1 + controls);
  curve.values.set(changed.values, first);
  for (let i = 0; i < changed.predictions.length; i++) {
    const flips = (set: number): number => Number(changed.changedPredictions[set] !== changed.predictions[i]);
    curve.columns.forEach((column, at) => {
      const set = i * sets + at * (1 + controls);
      column.value[first + i] = changed.changedValues[set];
      column.flip[first + i] = flips(set);
      for (let draw = 1; draw <= controls; draw++) {
        column.randomValue[first + i] += changed.changedValues[set + draw] / controls;
        column.randomFlip[first + i] += flips(set + draw) / controls;
      }
    });
  }
}

/** "mismatch" where the attribution's units are not the model's. */
export function checkUnits({ architecture }: Model, attribution: NeuronAttribution): void {
  const units = unitsOf(architecture, attribution.site);
  if (attribution.layers !== architecture.layers || attribution.units !== units) {
    throw new AttributionError(
      "mismatch",
      `The attribution has ${attribution.layers} × ${attribution.units} units, but the model's ${attribution.site} are ${architecture.layers} × ${units}`,
    );
  }
}

/** "mismatch" where the attribution's rows are not the instances. */
export function checkRows(instances: Instances, attribution: NeuronAttribution): void {
  if (attribution.instances !== instances.size || attribution.instanceIds.some((id, i) => id !== instances.ids[i])) {
    throw new AttributionError(
      "mismatch",
      "The attribution's rows are not these instances: both must have the same ids in the same order",
    );
  }
}
