// What a unit's own write does to the target, read at once.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { onlyKnown } from "../options";
import { neuronOptionNames, type NeuronOptions, neuronScores } from "./neuron-scores";
import { targetWords } from "./target";

/**
 * log p(residual + wᵢvᵢ) − log p(residual) at the readout position, vᵢ the unit's column of the output projection, read through the
 * final norm and the head; the residual is the one that the unit's output is added to. In parallel blocks (GPT-NeoX) heads are added
 * to the block's input, neurons to that plus the same block's attention. Positive: the unit writes the target.
 * Unit: nats. Source: Yu & Ananiadou 2024. Pre-norm models only. Cost: one head product per unit.
 * @returns scores [instance, layer, unit]
 * @example const na = await logProbabilityIncrease(model, queries);
 */
export async function logProbabilityIncrease(
  model: Model,
  instances: Instances,
  options?: Omit<NeuronOptions, "target" | "engine">,
): Promise<NeuronAttribution> {
  const given = onlyKnown(
    options,
    neuronOptionNames.filter((name) => name !== "target" && name !== "engine"),
  );
  const nats = { ...given, target: "logProbability" };
  return neuronScores(
    model,
    instances,
    nats,
    { name: "logProbabilityIncrease", native: "logProbabilityIncrease", unit: targetWords(nats) },
    options,
  );
}
