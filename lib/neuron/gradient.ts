// The target's slope in each unit.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { onlyKnown } from "../options";
import { neuronOptionNames, type NeuronOptions, neuronScores, type PositionOptions } from "./neuron-scores";
import { targetWords } from "./target";

/**
 * ∂F/∂wᵢ at the readout position; of a head the Euclidean norm of its features' slopes. Positive: more of the unit raises F.
 * The slope of a ReLU at 0 is taken as 0, as PyTorch does, and says nothing of the other side of its kink.
 * Cost: one forward, and one one-token row per layer forward and backward.
 * @returns scores [instance, layer, unit]
 * @example const na = await gradient(model, queries, { target: "logit" });
 */
export async function gradient(
  model: Model,
  instances: Instances,
  options?: NeuronOptions & PositionOptions,
): Promise<NeuronAttribution> {
  const given = onlyKnown(options, [...neuronOptionNames, "positions"]);
  return neuronScores(
    model,
    instances,
    given,
    { name: "gradient", native: "gradient", unit: `${targetWords(given)}, per unit of activation` },
    options,
  );
}
