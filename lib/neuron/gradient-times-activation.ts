// The first-order estimate of what a unit contributes.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { onlyKnown } from "../options";
import { neuronOptionNames, type NeuronOptions, neuronScores, type PositionOptions } from "./neuron-scores";
import { targetWords } from "./target";

/**
 * wᵢ ∂F/∂wᵢ at the readout position; of a head the sum over its features. To first order the change of F when the unit is set to
 * zero, with the sign turned. Positive: the unit raises F. ReLUs above the
 * unit may switch on the way to zero, which the slope does not see. Cost: one forward, and one one-token row per layer forward and backward.
 * @returns scores [instance, layer, unit]
 * @example const na = await gradientTimesActivation(model, queries, { of: "gold" });
 */
export async function gradientTimesActivation(
  model: Model,
  instances: Instances,
  options?: NeuronOptions & PositionOptions,
): Promise<NeuronAttribution> {
  const given = onlyKnown(options, [...neuronOptionNames, "positions"]);
  return neuronScores(
    model,
    instances,
    given,
    { name: "gradientTimesActivation", native: "gradientTimesActivation", unit: targetWords(given) },
    options,
  );
}
