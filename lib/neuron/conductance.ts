// Conductance: gradient flow through each unit along the input's path.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { integer, onlyKnown } from "../options";
import { neuronOptionNames, type NeuronOptions, neuronScores, type PositionOptions } from "./neuron-scores";
import { targetWords } from "./target";

export interface ConductanceOptions extends NeuronOptions, PositionOptions {
  /** Points of the input's path, both ends included. @default 21 */
  readonly nodes?: number;
}

/**
 * ∫₀¹ ∂F/∂wᵢ · dwᵢ/dα dα while the input embeddings (token and position) go from zero to their values, by the trapezoid rule; of a
 * head the sum over its features. A ReLU makes ∂F/∂wᵢ jump along the path, so the error falls only with 1 / nodes. Positive: the unit carries evidence for F. One sweep gives all layers.
 * With an embedding norm (BLOOM) the path starts behind that norm, from zero to what leaves it: before it, scaling changes nothing.
 * Near the zero input a norm turns every bit of signal into a full one: check with more nodes before trusting small differences.
 * In a mixture each token keeps, along the path, the experts that it goes to at its end; their weights follow the path.
 * Source: Dhamdhere et al. 2019. Cost: nodes × (forward + backward) per instance, whatever the number of layers.
 * @returns scores [instance, layer, unit]
 * @example const na = await conductance(model, queries, { nodes: 50 });
 */
export async function conductance(
  model: Model,
  instances: Instances,
  options?: ConductanceOptions,
): Promise<NeuronAttribution> {
  const given = onlyKnown(options, [...neuronOptionNames, "positions", "nodes"]);
  const count = integer(given, "nodes", 21, 2, 100_000);
  const nodes = Float64Array.from({ length: count }, (_, i) => i / (count - 1));
  return neuronScores(
    model,
    instances,
    given,
    {
      name: "conductance",
      native: "conductance",
      nodes,
      weights: new Float64Array(count),
      unit: targetWords(given),
      shown: { nodes: count },
    },
    options,
  );
}
