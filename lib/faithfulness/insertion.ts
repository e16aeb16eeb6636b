// Insertion: how fast does the target come back when units are added to an empty site, best first?
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution, NeuronCurve } from "../../types/results";
import { fractionCurve, type NeuronCurveOptions } from "./fraction-curve";

/**
 * F with only the best fraction of each instance's units at the readout position present (the others at `baseline`), over fractions
 * from 0 to 1, beside random orders. A faithful attribution rises early: its area under the curve lies above the random one.
 * Options, intervals, source and cost as of `deletion`.
 * @example const { points } = await insertion(model, queries, await integratedGradients(model, queries), { fractions: [0, 0.01, 0.1, 1] });
 */
export async function insertion(
  model: Model,
  instances: Instances,
  attribution: NeuronAttribution,
  options?: NeuronCurveOptions,
): Promise<NeuronCurve> {
  return fractionCurve("insertion", model, instances, attribution, options);
}
