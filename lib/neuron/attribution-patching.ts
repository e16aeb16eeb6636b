// Attribution patching: the first-order estimate of replacing each unit by its baseline.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { onlyKnown } from "../options";
import type { Baseline } from "./baseline";
import {
  neuronOptionNames,
  type NeuronOptions,
  neuronScores,
  type PositionOptions } from "./neuron-scores";
import { targetWords } from "./target";

export interface AttributionPatchingOptions extends NeuronOptions, PositionOptions {
  /** w⁰, e.g. `meanActivations(model, train)` or another instance's values from `capture`. @default "zero" */
  readonly baseline?: Baseline;
}

/**
 * (wᵢ − w⁰ᵢ) ∂F/∂wᵢ at the readout position; of a head the sum over its features. To first order what F loses when the unit takes
 * its baseline value; ReLUs above it that switch on the way are not seen. Source: Nanda 2023; Syed et al. 2023. Cost: one forward, one one-token row per layer forward and backward.
 * @returns scores [instance, layer, unit]
 * @example const na = await attributionPatching(model, queries, { baseline: await meanActivations(model, train) });
 */
export async function attributionPatching(
  model: Model,
  instances: Instances,
  options?: AttributionPatchingOptions,
): Promise<NeuronAttribution> {
  const given = onlyKnown(options, [...neuronOptionNames, "positions", "baseline"]);
  return neuronScores(
    model,
    instances,
    given,
    {
      name: "attributionPatching",
      native: "gradientTimesActivation",
      baseline: options?.baseline,
      unit: targetWords(given),
    },
    options,
  );
}
