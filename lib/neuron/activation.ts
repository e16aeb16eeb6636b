// The plainest neuron scores: the unit's value.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { onlyKnown } from "../options";
import { neuronOptionNames, type NeuronOptions, neuronScores } from "./neuron-scores";

/**
 * The value wᵢ of each unit at the readout position; of a head the Euclidean norm of its features. Looks at no target: large is
 * active, not helpful. Cost: one forward.
 * @returns scores [instance, layer, unit]
 * @example const active = top(await activation(model, queries), 0, 10);
 */
export async function activation(
  model: Model,
  instances: Instances,
  options?: NeuronOptions,
): Promise<NeuronAttribution> {
  const given = onlyKnown(options, neuronOptionNames);
  return neuronScores(
    model,
    instances,
    given,
    { name: "activation", native: "activation", unit: "value of the unit" },
    options,
  );
}
