// Influence functions: gradient similarity under the inverse of the training loss's Hessian.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeInfluenceParams } from "../../types/native";
import type { InstanceAttribution } from "../../types/results";
import { AttributionError } from "../errors";
import { native, runNative } from "../native";
import { integer, leastAboveZero, number, oneOf, onlyKnown, seedOf } from "../options";
import { handleOf } from "../model/model";
import { type FactorsRequest, fisherOf, openFactors } from "./ekfac/ekfac-factors";
import {
  checkPair,
  type FeatureOptions,
  featureOptionNames,
  featureParams,
  instanceAttribution,
} from "./gradients/features";
import { paperLissa, type PaperLissaPreset } from "./gradients/paper-lissa";
import { ownScores } from "./own-weights";
import { type OwnOptions, ownOptionNames, quantityOptions } from "./quantity";

export interface InfluenceOptions extends FeatureOptions, OwnOptions {
  /**
   * How (H + λI)⁻¹ is applied. "cg": conjugate gradients, exact to `tolerance`; "lissa": a stochastic series; "arnoldi": exactly, but
   * only in the span of `rank` eigenvectors of H of the largest magnitude; "ekfac": H as the Gauss-Newton matrix in Kronecker factors
   * with corrected eigenvalues, per module, linear ones only (embeddings and norms are refused, "unsupported"). The head's input
   * factor A counts only the positions that the head is read at: the readout, or a language model's targets. "identity": not at all,
   * which is gradient similarity.
   * @default "cg"
   */
  readonly inverse?: "cg" | "lissa" | "arnoldi" | "ekfac" | "identity";
  /**
   * cg, lissa and arnoldi: λ in the units of H (for lissa 1 − damping / scale multiplies each step). @default 0.01
   * ekfac: λ as a share of each module's mean eigenvalue. @default 0.1
   */
  readonly damping?: number;
  /** cg: most iterations; arnoldi: dimension of the Krylov space. Each reads the training set once. @default 100 */
  readonly iterations?: number;
  /** cg: residual at which to stop, relative to the query's gradient. @default 1e-6 */
  readonly tolerance?: number;
  /** arnoldi: eigenpairs kept, those of the largest magnitude (negative ones are kept with their sign). @default 50 */
  readonly rank?: number;
  /** lissa: divides H in each step; must exceed its largest eigenvalue. @default 10 */
  readonly scale?: number;
  /** lissa: recursions of each repeat. @default 1000 */
  readonly recursions?: number;
  /** lissa: independent series that are averaged. @default 1 */
  readonly repeats?: number;
  /** lissa: training instances of one recursion's Hessian. @default 8 */
  readonly batchSize?: number;
  /** lissa: the order of its batches; arnoldi: the vector it starts from; ekfac: the labels that it draws from the model. @default 42 */
  readonly seed?: number;
  /** ekfac: labels of the gradients that make its factors: drawn from the model (the true Fisher information), or the instances' own (the empirical one). @default "sampled" */
  readonly fisher?: "sampled" | "empirical";
  /** ekfac: the folder of factors that `fitEkfac` wrote for this model and training set; their parameters, reduction, fisher and seed are this call's. @default fitted anew */
  readonly factors?: string;
  /**
   * cg, lissa, arnoldi: "cache" keeps, where `parameters` are the head or the last block's MLP (with or without the head) of a classifier
   * or chooser, or a language model's head, the states below them, and runs nothing else after one pass; "full" runs the network for
   * every product with H. They agree to rounding.
   * @default "cache"
   */
  readonly engine?: "cache" | "full";
  /** The paper's recipe, LiSSA with the values of its data set (METHODS): e.g. "paper:opt:averitec"; `parameters` are the head's. */
  readonly preset?: PaperLissaPreset;
}

export interface Influence extends InstanceAttribution {
  readonly solver: {
    /** λ in effect, in the units of H; ekfac: as a share of each module's mean eigenvalue. */
    readonly effectiveDamping: number;
    /** Iterations or recursions made; arnoldi: dimension of the Krylov space. */
    readonly iterations: number;
    /** cg: the largest relative residual over queries; lissa: the relative change of the last recursion; arnoldi: the largest ‖H x − λ x‖ / max |λ| of the pairs kept. */
    readonly residual: number;
    /** arnoldi: of the pairs kept, largest magnitude first. */
    readonly eigenvalues?: Float64Array;
  };
}

export const influenceOptionNames = [
  ...featureOptionNames,
  "inverse",
  "damping",
  "iterations",
  "tolerance",
  "rank",
  "scale",
  "recursions",
  "repeats",
  "batchSize",
  "seed",
  "fisher",
  "factors",
  "engine",
  "preset",
] as const;

/**
 * score(q, z) = ∇L(q)ᵀ (H + λI)⁻¹ ∇L(z), H the Hessian of the mean training loss over the chosen parameters. Positive: a proponent.
 * To first order L(q) falls by score · ε when z is up-weighted by ε in the mean loss: removing z raises L(q) by score / N.
 * With `of` a quantity f stands for −L(q): f rises by score · ε (unit-targeted influence, arXiv 2601.21996, 2602.14869).
 * Unit: nats per unit of weight. Source: Koh & Liang 2017; LiSSA: Agarwal et al. 2017; Arnoldi: Schioppa et al. 2022; EK-FAC: George
 * et al. 2018, Grosse et al. 2023.
 * Cost: cg and arnoldi: iterations × 4 passes over the training set; lissa: recursions × batchSize instances, all queries together; ekfac:
 * 2 passes and an eigendecomposition of each side of each module (none with `factors`); then one pass for the scores. See `engine`.
 * @returns scores [query, train] and what the solver reached
 * @example const ia = await influence(model, train, queries, { inverse: "cg", parameters: "head", damping: 0.001 });
 */
export async function influence(
  model: Model,
  train: Instances,
  queries: Instances,
  options?: InfluenceOptions,
): Promise<Influence> {
  const given = onlyKnown(options, [...influenceOptionNames, ...ownOptionNames]);
  checkPair(model, train, queries);
  const { of, own, shown, unit = influenceUnit } = quantityOptions(given, model, queries);
  const params = { ...(await influenceParams(model, train, given)), of };
  const { scores, iterations, residual, eigenvalues } = own
    ? { ...unsolved, scores: await ownScores(model, train, queries, params, { ...options }) }
    : await runNative((control) => native().influence(handleOf(model), train, queries, params, control), options);
  const { inverse, damping } = params;
  const result = instanceAttribution({
    method: "influence",
    model,
    train,
    queries,
    scores,
    unit,
    options: { ...resolvedInfluence(params), preset: given["preset"] ?? null, ...shown },
  });
  const solver = {
    effectiveDamping: inverse === "identity" ? 0 : damping,
    iterations,
    residual,
    ...(inverse === "arnoldi" ? { eigenvalues } : {}),
  };
  return Object.freeze({ ...result, solver: Object.freeze(solver) });
}

/** What the split by unit does not tell of the solver. */
const unsolved = { iterations: 0, residual: NaN, eigenvalues: new Float64Array(0) };

export const influenceUnit = "nats of query loss per unit of training weight";

/** The options as resolved, for a provenance. */
export function resolvedInfluence(params: NativeInfluenceParams): Record<string, unknown> {
  const { inverse, damping, modules, reduction } = params;
  return {
    inverse,
    damping: inverse === "identity" ? null : damping,
    parameters: modules,
    reduction,
    ...solverOptions(params),
  };
}

function solverOptions({
  inverse,
  iterations,
  tolerance,
  rank,
  scale,
  recursions,
  repeats,
  batchSize,
  fisher,
  seed,
}: NativeInfluenceParams): Record<string, number | string> {
  if (inverse === "cg") return { iterations, tolerance };
  if (inverse === "lissa") return { scale, recursions, repeats, batchSize, seed };
  if (inverse === "arnoldi") return { iterations, rank, seed };
  return inverse === "ekfac" ? { fisher, seed } : {};
}

export async function influenceParams(
  model: Model,
  train: Instances,
  given: Readonly<Record<string, unknown>>,
  fallback: "cg" | "identity" = "cg",
): Promise<NativeInfluenceParams> {
  const paper = given["preset"] === undefined ? undefined : paperLissa(given["preset"], train.size);
  const inverse = oneOf(given, "inverse", paper ? "lissa" : fallback, ["cg", "lissa", "arnoldi", "ekfac", "identity"]);
  if (paper && inverse !== "lissa")
    throw new AttributionError("invalid", `The paper's preset is LiSSA; it contradicts inverse: "${inverse}"`);
  if (given["factors"] !== undefined && inverse !== "ekfac")
    throw new AttributionError("invalid", `"factors" are EK-FAC's; they contradict inverse: "${inverse}"`);
  const scale = number(given, "scale", paper?.scale ?? 10, leastAboveZero);
  const damping = number(given, "damping", paper ? paper.damping * scale : inverse === "ekfac" ? 0.1 : 0.01, 0);
  // A step multiplies the error by 1 − (λ + h) / scale for each eigenvalue h ≥ 0 of H: by −1 or less.
  if (inverse === "lissa" && damping >= 2 * scale)
    throw new AttributionError(
      "invalid",
      `LiSSA diverges with a "damping" of ${damping} and a "scale" of ${scale}: raise "scale" above half the damping`,
    );
  const features = {
    ...featureParams(model, given, paper ? "head" : "mlp"),
    fisher: fisherOf(given),
    seed: seedOf(given),
  };
  const fitted =
    given["factors"] === undefined ? { ...features, factors: [] } : await withFactors(model, train, given, features);
  return {
    ...fitted,
    inverse,
    damping,
    scale,
    lissaDamping: damping / scale,
    fullPath: oneOf(given, "engine", "cache", ["cache", "full"]) === "full",
    iterations: integer(given, "iterations", 100, 1),
    tolerance: number(given, "tolerance", 1e-6, 0, 1),
    rank: integer(given, "rank", 50, 1),
    recursions: integer(given, "recursions", paper?.recursions ?? 1000, 1),
    repeats: integer(given, "repeats", 1, 1),
    batchSize: integer(given, "batchSize", paper?.batchSize ?? 8, 1),
  };
}

type Features = ReturnType<typeof featureParams> & Pick<NativeInfluenceParams, "fisher" | "seed">;

/** The call's parameters with those that stored factors were fitted with. */
async function withFactors(
  model: Model,
  train: Instances,
  given: Readonly<Record<string, unknown>>,
  features: Features,
): Promise<Features & Pick<NativeInfluenceParams, "factors">> {
  const factorsRequest: FactorsRequest = {
    modelHash: model.hash,
    dtype: model.dtype,
    dataHash: train.hash,
    ...(given["parameters"] === undefined ? {} : { modules: features.modules }),
    ...(given["reduction"] === undefined ? {} : { reduction: features.reduction }),
    ...(given["fisher"] === undefined ? {} : { fisher: features.fisher }),
    ...(given["seed"] === undefined ? {} : { seed: features.seed }),
  };
  const { stored, sources } = await openFactors(given["factors"], factorsRequest);
  return {
    ...features,
    modules: stored.modules,
    reduction: stored.reduction,
    fisher: stored.fisher,
    seed: stored.seed,
    factors: sources,
  };
}
