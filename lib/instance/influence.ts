// Influence functions: gradient similarity under the inverse of the training loss's Hessian.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeInfluenceParams } from "../../types/native";
import type { InstanceAttribution } from "../../types/results";
import { AttributionError } from "../errors";
import { native, runNative } from "../native";
import { integer, number, oneOf, onlyKnown, seedOf } from "../options";
import { handleOf } from "../model/model";
import { checkPair, type FeatureOptions, featureOptionNames, featureParams, instanceAttribution } from "./features";
import { paperLissa } from "./paper-lissa";

export interface InfluenceOptions extends FeatureOptions {
  /**
   * How (H + λI)⁻¹ is applied. "cg": conjugate gradients, exact to `tolerance`; "lissa": a stochastic series; "ekfac": H as the
   * Gauss-Newton matrix in Kronecker factors with corrected eigenvalues, per module; "identity": not at all, which is gradient similarity.
   * @default "cg"
   */
  readonly inverse?: "cg" | "lissa" | "ekfac" | "identity";
  /**
   * cg and lissa: λ in the units of H (for lissa 1 − damping / scale multiplies each step). @default 0.01
   * ekfac: λ as a share of each module's mean eigenvalue. @default 0.1
   */
  readonly damping?: number;
  /** cg: most iterations; each reads the training set once. @default 100 */
  readonly iterations?: number;
  /** cg: residual at which to stop, relative to the query's gradient. @default 1e-6 */
  readonly tolerance?: number;
  /** lissa: divides H in each step; must exceed its largest eigenvalue. @default 10 */
  readonly scale?: number;
  /** lissa: recursions of each repeat. @default 1000 */
  readonly recursions?: number;
  /** lissa: independent series that are averaged. @default 1 */
  readonly repeats?: number;
  /** lissa: training instances of one recursion's Hessian. @default 8 */
  readonly batchSize?: number;
  /** lissa: the order of its batches; ekfac: the labels that it draws from the model. @default 42 */
  readonly seed?: number;
  /** The paper's recipe, LiSSA with the values of its data set (METHODS): e.g. "paper:opt:averitec"; `parameters` are the head's. */
  readonly preset?: `paper:${"opt" | "bloom" | "pythia"}:${"averitec" | "mnli" | "hans" | "csqa"}`;
}

export interface Influence extends InstanceAttribution {
  readonly solver: {
    /** λ in effect, in the units of H; ekfac: as a share of each module's mean eigenvalue. */
    readonly effectiveDamping: number;
    /** Iterations or recursions made. */
    readonly iterations: number;
    /** cg: the largest relative residual over queries; lissa: the relative change of the last recursion. */
    readonly residual: number;
  };
}

const names = [...featureOptionNames, "inverse", "damping", "iterations", "tolerance", "scale", "recursions", "repeats", "batchSize", "seed", "preset"];

/**
 * score(q, z) = ∇L(q)ᵀ (H + λI)⁻¹ ∇L(z), H the Hessian of the mean training loss over the chosen parameters. Positive: a proponent.
 * To first order L(q) falls by score · ε when z is up-weighted by ε in the mean loss: removing z raises L(q) by score / N.
 * Unit: nats per unit of weight. Source: Koh & Liang 2017; LiSSA: Agarwal et al. 2017; EK-FAC: George et al. 2018, Grosse et al. 2023.
 * Cost: cg: iterations × 4 passes over the training set; lissa: recursions × batchSize instances; ekfac: 2 passes and an
 * eigendecomposition of each side of each module; then one pass for the scores.
 * @returns scores [query, train] and what the solver reached
 * @example const ia = await influence(model, train, queries, { inverse: "cg", parameters: "head", damping: 0.001 });
 */
export async function influence(model: Model, train: Instances, queries: Instances, options?: InfluenceOptions): Promise<Influence> {
  const given = onlyKnown(options, names);
  checkPair(model, train, queries);
  const params = paramsOf(model, given, train.size);
  const { scores, iterations, residual } = await runNative((control) => native().influence(handleOf(model), train, queries, params, control), options);
  const { inverse, damping, scale, recursions, repeats, batchSize, seed, tolerance, modules, reduction } = params;
  const solved = inverse === "cg" ? { iterations: params.iterations, tolerance } : inverse === "lissa" ? { scale, recursions, repeats, batchSize, seed } : inverse === "ekfac" ? { seed } : {};
  const result = instanceAttribution({
    method: "influence", model, train, queries, scores, unit: "nats of query loss per unit of training weight",
    options: { inverse, damping: inverse === "identity" ? null : damping, parameters: modules, reduction, ...solved, preset: given["preset"] ?? null },
  });
  return Object.freeze({ ...result, solver: Object.freeze({ effectiveDamping: inverse === "identity" ? 0 : damping, iterations, residual }) });
}

function paramsOf(model: Model, given: Readonly<Record<string, unknown>>, trainSize: number): NativeInfluenceParams {
  const paper = given["preset"] === undefined ? undefined : paperLissa(given["preset"], trainSize);
  const inverse = oneOf(given, "inverse", paper ? "lissa" : "cg", ["cg", "lissa", "ekfac", "identity"]);
  if (paper && inverse !== "lissa") throw new AttributionError("invalid", `The paper's preset is LiSSA; it contradicts inverse: "${inverse}"`);
  const scale = number(given, "scale", paper?.scale ?? 10, Number.MIN_VALUE);
  const damping = number(given, "damping", paper ? paper.damping * scale : inverse === "ekfac" ? 0.1 : 0.01, 0);
  return {
    ...featureParams(model, given, paper ? "head" : "mlp"), inverse, damping, scale, lissaDamping: damping / scale,
    iterations: integer(given, "iterations", 100, 1), tolerance: number(given, "tolerance", 1e-6, 0, 1),
    recursions: integer(given, "recursions", paper?.recursions ?? 1000, 1), repeats: integer(given, "repeats", 1, 1),
    batchSize: integer(given, "batchSize", paper?.batchSize ?? 8, 1), seed: seedOf(given),
  };
}
