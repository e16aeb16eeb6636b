// Deletion: how fast does the target fall when units are taken away, best first?
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution, NeuronCurve } from "../../types/results";
import { fractionCurve, type NeuronCurveOptions } from "./fraction-curve";

/**
 * F with the best fraction of each instance's units at the readout position removed (set to `baseline`), over fractions from 0 to 1,
 * beside random orders of the same units. A faithful attribution falls early: its area under the curve lies below the random one.
 * F as in `integratedGradients` (`target`, `of`, `contrast`; the unchanged model's prediction). Means over instances with 95 %
 * bootstrap intervals. Source: Petsiuk et al. 2018. Cost: one forward per instance, and fractions × (1 + controls) one-token rows.
 * @example const { area, randomArea } = await deletion(model, queries, await integratedGradients(model, queries));
 */
export async function deletion(
  model: Model,
  instances: Instances,
  attribution: NeuronAttribution,
  options?: NeuronCurveOptions,
): Promise<NeuronCurve> {
  return fractionCurve("deletion", model, instances, attribution, options);
}
