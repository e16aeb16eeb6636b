// TRAK (Park et al. 2023): influence in the linearised model of the log-odds, with projected gradients.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution } from "../../types/results";
import type { GradientStore, TopInstances } from "../../types/store";
import { preconditioned, type ProjectedOptions } from "./store/source";

/**
 * score(q, z) = (1 − p_z) φ_qᵀ (ΦᵀΦ + λI)⁻¹ φ_z with φ = P∇ log(p / (1 − p)), p = exp(−L) the probability of the gold label (of a causal
 * LM: of all target tokens, or with `reduction: "mean"` their geometric mean), Φ the rows of the training set and λ = damping · the
 * mean diagonal entry of ΦᵀΦ. All modules are one block. 1 − p counts as at least 1e-6. Positive: a proponent.
 * Unit: log-odds of the query. One checkpoint; average the scores of several.
 * `train`: instances, whose features are computed for this call, or a store. Cost: a forward and backward per training instance
 * (none with a store), then the matrices.
 * @returns scores [query, train], or with `topK` the best of each query
 * @example const ia = await trak(model, train, queries, { rank: 8 });
 */
export function trak(
  model: Model,
  train: Instances | GradientStore,
  queries: Instances,
  options: ProjectedOptions & { readonly topK: number },
): Promise<TopInstances>;
export function trak(
  model: Model,
  train: Instances | GradientStore,
  queries: Instances,
  options?: ProjectedOptions & { readonly topK?: undefined },
): Promise<InstanceAttribution>;
export function trak(
  model: Model,
  train: Instances | GradientStore,
  queries: Instances,
  options?: ProjectedOptions,
): Promise<InstanceAttribution | TopInstances> {
  return preconditioned("trak", model, train, queries, options);
}
