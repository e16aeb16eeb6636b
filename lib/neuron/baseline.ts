// What units are compared with: zero, their mean over a data set, or given values.
import type { Architecture } from "../../types/architecture";
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeSite } from "../../types/native";
import { AttributionError, expected } from "../errors";
import { type BatchOptions, batchOptionNames } from "../model/batching";
import { capture } from "../model/capture";
import { onlyKnown } from "../options";

/**
 * Unit values that stand for "not there": zero, or per site values [layer, feature], row-major (heads: layer × head × head size),
 * e.g. from `meanActivations` or `capture`.
 */
export type Baseline = "zero" | Float32Array | { readonly neurons?: Float32Array; readonly heads?: Float32Array };

/**
 * Mean values of neurons and heads at the readout position over a data set (listwise: over all rows): a baseline that stays inside
 * what the model sees. Cost: two forwards per instance.
 * @example integratedGradients(model, queries, { baseline: await meanActivations(model, train) })
 */
export async function meanActivations(
  model: Model,
  instances: Instances,
  options?: BatchOptions,
): Promise<{ neurons: Float32Array; heads: Float32Array }> {
  onlyKnown(options, batchOptionNames);
  const mean = async (site: "neurons" | "heads"): Promise<Float32Array> => {
    const { values, count } = await capture(model, instances, { ...options, site });
    const width = values.length / count;
    const sums = new Float64Array(width);
    for (let i = 0; i < values.length; i++) sums[i % width] += values[i];
    return Float32Array.from(sums, (sum) => sum / count);
  };
  return { neurons: await mean("neurons"), heads: await mean("heads") };
}

/** The values for one site, in the native layout; empty is zero. */
export function baselineOf(baseline: Baseline | undefined, architecture: Architecture, site: NativeSite): Float32Array {
  if (baseline === undefined || baseline === "zero") return new Float32Array(0);
  const { layers, heads, headSize, intermediate } = architecture;
  const size = layers * (site === "heads" ? heads * headSize : intermediate);
  const values =
    baseline instanceof Float32Array
      ? baseline
      : typeof baseline === "object" && baseline !== null
        ? baseline[site === "heads" ? "heads" : "neurons"]
        : undefined;
  if (values === undefined) throw new AttributionError("missing", `The baseline has no values for the ${site}`);
  if (!(values instanceof Float32Array) || values.length !== size)
    throw expected("baseline", `a Float32Array of layers × features = ${size} values`, values);
  return values;
}

export function shownBaseline(baseline: Baseline | undefined): string {
  return baseline === undefined || baseline === "zero" ? "zero" : "given";
}
