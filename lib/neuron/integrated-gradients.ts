// Integrated gradients of neurons and heads, layer by layer.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { AttributionError } from "../errors";
import { integer, oneOf, onlyKnown } from "../options";
import type { Baseline } from "./baseline";
import { type Method, neuronOptionNames, type NeuronOptions, neuronScores, type PositionOptions, targetWords } from "./neuron-scores";
import { evenlySpaced, gaussLegendre } from "./quadrature";

export interface IntegratedGradientsOptions extends NeuronOptions, PositionOptions {
  /** Nodes of the path integral. @default 20 */
  readonly nodes?: number;
  /** w⁰: zero, the mean over a data set (`meanActivations`), or given values. @default "zero" */
  readonly baseline?: Baseline;
  /** The paper's recipe: evenly spaced nodes with equal weights, both ends included, over the pre-activations of the MLP's first layer. */
  readonly preset?: "paper";
}

/**
 * Per layer l and unit i: (wᵢ − w⁰ᵢ) ∫₀¹ ∂F(w⁰ + α(w − w⁰))/∂wᵢ dα, w the layer's units at the readout position and the other
 * layers recomputed; Gauss-Legendre. A head's score is the sum over its features. Completeness holds per layer: a layer's scores
 * sum to F(w) − F(w⁰), and the result carries the difference. Positive: the unit raises F.
 * Unit: that of F. Source: Sundararajan et al. 2017; per layer as Dai et al. 2022. (Captum calls this layer attribution.)
 * Cost: one forward, and layers × nodes one-token rows forward and backward through the layers above theirs.
 * @returns scores [instance, layer, unit]
 * @example const na = await integratedGradients(model, queries); top(na, 0, 10);
 */
export async function integratedGradients(model: Model, instances: Instances, options?: IntegratedGradientsOptions): Promise<NeuronAttribution> {
  const given = onlyKnown(options, integratedGradientsNames);
  return neuronScores(model, instances, given, integratedGradientsMethod(given, options), options);
}

export const integratedGradientsNames = [...neuronOptionNames, "positions", "nodes", "baseline", "preset"] as const;

/** The native run behind the options. */
export function integratedGradientsMethod(given: Readonly<Record<string, unknown>>, options: IntegratedGradientsOptions | undefined): Method {
  const paper = given["preset"] !== undefined && oneOf(given, "preset", "paper", ["paper"]) === "paper";
  if (paper && (given["site"] ?? "neurons") !== "neurons") throw new AttributionError("invalid", 'The paper\'s preset scores MLP neurons; it contradicts "site"');
  const nodes = integer(given, "nodes", 20, 1, 1000);
  return {
    name: "integratedGradients", native: "integratedGradients", ...(paper ? evenlySpaced(nodes) : gaussLegendre(nodes)), baseline: options?.baseline, preActivation: paper,
    unit: targetWords(given), shown: { nodes, preset: paper ? "paper" : null },
  };
}
