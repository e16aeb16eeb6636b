// Sufficiency: does the model keep its prediction with the chosen units alone?
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution, NeuronFaithfulness } from "../../types/results";
import { neuronTest, type NeuronTestOptions } from "./neuron-test";

/**
 * For each r: keep only the top r units of each instance at the readout position, set the rest of the site to zero, and compare
 * with as many distinct random units. `probabilityChange` is the probability of the originally predicted class, changed minus
 * original: near 0 is sufficient. Means over instances with 95 % bootstrap intervals.
 * Source: DeYoung et al. 2020; Yu et al. 2024. Cost: one forward per instance, and sizes × (1 + controls) one-token rows.
 * @example const curve = await sufficiency(model, queries, await integratedGradients(model, queries));
 */
export async function sufficiency(
  model: Model,
  instances: Instances,
  attribution: NeuronAttribution,
  options?: NeuronTestOptions,
): Promise<NeuronFaithfulness> {
  return neuronTest("sufficiency", model, instances, attribution, options);
}
