// The size of what a unit writes.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { onlyKnown } from "../options";
import { neuronOptionNames, type NeuronOptions, neuronScores } from "./neuron-scores";

/**
 * |wᵢ| ‖vᵢ‖ at the readout position, vᵢ the unit's column of the output projection; of a head the norm of its slice's output.
 * Looks at no target. Source: Geva et al. 2022. Cost: one forward.
 * @returns scores [instance, layer, unit], all at least 0
 * @example const na = await valueNorm(model, queries, { site: "both" });
 */
export async function valueNorm(
  model: Model,
  instances: Instances,
  options?: NeuronOptions,
): Promise<NeuronAttribution> {
  const given = onlyKnown(options, neuronOptionNames);
  return neuronScores(
    model,
    instances,
    given,
    { name: "valueNorm", native: "valueNorm", unit: "norm of the unit's write to the residual" },
    options,
  );
}
