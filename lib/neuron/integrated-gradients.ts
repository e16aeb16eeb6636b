// Integrated gradients of neurons and heads, layer by layer.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NeuronAttribution } from "../../types/results";
import { AttributionError } from "../errors";
import { checkFit } from "../model/fit";
import { integer, number, oneOf, onlyKnown } from "../options";
import type { Baseline } from "./baseline";
import {
  type Method,
  neuronOptionNames,
  type NeuronOptions,
  neuronScores,
  type PositionOptions,
} from "./neuron-scores";
import { targetWords } from "./target";
import { evenlySpaced, gaussLegendre } from "./quadrature";

export interface IntegratedGradientsOptions extends NeuronOptions, PositionOptions {
  /** Nodes of each layer's path integral before any bisection. @default 8 where `completeness` is kept, else 20 */
  readonly nodes?: number;
  /**
   * How exact a layer's scores are: its path is bisected (8 nodes a piece, at most 64 pieces) until the completeness gap is below this
   * share of F (of its larger end), and no single unit is off by more than this share of the layer's largest score; 0: never.
   * What units may still be off by stands in the result as `unitErrors`. Only by the engine "cache", at the readout position, in
   * float32 or float64 (the rounding of bfloat16 is larger).
   * @default 0.001, and 0 where `nodes` is given
   */
  readonly completeness?: number;
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
 * F of a trained model is smooth along the paths of nearly all layers, where 6 nodes do; along those of its first layers it is not,
 * and they are bisected (benchmarks/README.md has the measurements). Paths below a ReLU are always bisected: ∂F/∂w jumps there, and
 * the gap, one sum over all units, does not bound a single one.
 * In a mixture the routers above the layer choose anew at every point. Where a choice changes, F jumps; a gradient does not see the
 * jump, and the completeness gap holds it. The layer's own router reads nothing of its neurons, so it stays as it is.
 * On a masked language model with `of: "gold"` these are the knowledge neurons of Dai et al. 2022, with their sum taken to its limit.
 * Cost: one forward, and layers × nodes one-token rows forward and backward through the layers above theirs. A bisected path takes
 * 19 to 1,073 rows more, on random ReLU models. In encoders a row is as long as the text.
 * @returns scores [instance, layer, unit]
 * @example const na = await integratedGradients(model, queries); top(na, 0, 10);
 */
export async function integratedGradients(
  model: Model,
  instances: Instances,
  options?: IntegratedGradientsOptions,
): Promise<NeuronAttribution> {
  const given = onlyKnown(options, integratedGradientsNames);
  checkFit(model, instances, "instances"); // before its type says how
  return neuronScores(model, instances, given, integratedGradientsMethod(model, given, options), options);
}

export const integratedGradientsNames = [
  ...neuronOptionNames,
  "positions",
  "nodes",
  "completeness",
  "baseline",
  "preset",
] as const satisfies readonly (keyof IntegratedGradientsOptions)[];

/** The native run behind the options. */
export function integratedGradientsMethod(
  { dtype }: Model,
  given: Readonly<Record<string, unknown>>,
  options: IntegratedGradientsOptions | undefined,
): Method {
  const paper = given["preset"] !== undefined && oneOf(given, "preset", "paper", ["paper"]) === "paper";
  if (paper && (given["site"] ?? "neurons") !== "neurons")
    throw new AttributionError("invalid", 'The paper\'s preset scores MLP neurons; it contradicts "site"');
  const bisects =
    !paper &&
    dtype !== "bfloat16" &&
    (given["engine"] ?? "cache") === "cache" &&
    (given["positions"] ?? "readout") === "readout";
  const completeness = number(given, "completeness", bisects && given["nodes"] === undefined ? 1e-3 : 0, 0, 1);
  if (completeness > 0 && !bisects)
    throw new AttributionError(
      "unsupported",
      'Paths are bisected by the engine "cache" at the readout position, in float32 or float64 and without a preset; leave out "completeness"',
    );
  const nodes = integer(given, "nodes", completeness > 0 ? 8 : 20, 1, 1000);
  return {
    name: "integratedGradients",
    native: "integratedGradients",
    ...(paper ? evenlySpaced(nodes) : gaussLegendre(nodes)),
    completeness,
    baseline: options?.baseline,
    preActivation: paper,
    unit: targetWords(given),
    shown: { nodes, completeness, preset: paper ? "paper" : null },
  };
}
