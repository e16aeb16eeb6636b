// Comprehensiveness: does the prediction fall without the chosen units?
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution, NeuronFaithfulness } from "../../types/results";
import { neuronTest, type NeuronTestOptions } from "./neuron-test";

/**
 * For each r: set the top r units of each instance at the readout position to zero, and compare with as many distinct random units.
 * `probabilityChange` is the probability of the originally predicted class, changed minus original: far below 0, and below the
 * random control, is comprehensive. Means over instances with 95 % bootstrap intervals.
 * Source: DeYoung et al. 2020; Yu et al. 2024. Cost: one forward per instance, and sizes × (1 + controls) one-token rows.
 * @example const curve = await comprehensiveness(model, queries, await integratedGradients(model, queries));
 */
export async function comprehensiveness(
  model: Model,
  instances: Instances,
  attribution: NeuronAttribution,
  options?: NeuronTestOptions,
): Promise<NeuronFaithfulness> {
  return neuronTest("comprehensiveness", model, instances, attribution, options);
}
