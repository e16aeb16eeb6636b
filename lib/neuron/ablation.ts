// Every single unit ablated: the direct measurement that the other scores estimate.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { onlyKnown } from "../options";
import type { Baseline } from "./baseline";
import { neuronOptionNames, type NeuronOptions, neuronScores } from "./neuron-scores";
import { targetWords } from "./target";

export interface AblationOptions extends NeuronOptions {
  /** What an ablated unit becomes: zero, its mean (`meanActivations`), or another instance's values (`capture`). @default "zero" */
  readonly baseline?: Baseline;
}

/**
 * F − F with the unit alone set to its baseline at the readout position, for every unit. Positive: the unit raises F.
 * Cost: one forward, and per unit a one-token row through the layers above it.
 * @returns scores [instance, layer, unit]
 * @example const na = await ablation(model, queries, { site: "heads", baseline: await meanActivations(model, train) });
 */
export async function ablation(
  model: Model,
  instances: Instances,
  options?: AblationOptions,
): Promise<NeuronAttribution> {
  const given = onlyKnown(options, [...neuronOptionNames, "baseline"]);
  return neuronScores(
    model,
    instances,
    given,
    { name: "ablation", native: "ablation", baseline: options?.baseline, unit: targetWords(given) },
    options,
  );
}
