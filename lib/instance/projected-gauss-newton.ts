// Projected Gauss-Newton (LoGra, Choe et al. 2024): gradient similarity under the inverse of the gradients' second moments.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution } from "../../types/results";
import type { GradientStore, TopInstances } from "../../types/store";
import { preconditioned, type ProjectedOptions } from "./store/source";

/**
 * score(q, z) = Σ over modules of vec(G'_q)ᵀ (H' + λI)⁻¹ vec(G'_z) with G' = P_out G P_inᵀ the projected gradients and H' the mean of
 * vec(G') vec(G')ᵀ over the training set, λ = damping · tr(H') / d. The cosine takes H'^(-1/2) on both sides. Positive: a proponent.
 * Unit: nats of query loss per unit of training weight.
 * `train`: instances, whose features are computed for this call, or a store. Cost: a forward and backward per training instance
 * (none with a store), then the matrices.
 * @returns scores [query, train], or with `topK` the best of each query
 * @example const ia = await projectedGaussNewton(model, store, queries, { damping: 0.1 });
 */
export function projectedGaussNewton(
  model: Model,
  train: Instances | GradientStore,
  queries: Instances,
  options: ProjectedOptions & { readonly topK: number },
): Promise<TopInstances>;
export function projectedGaussNewton(
  model: Model,
  train: Instances | GradientStore,
  queries: Instances,
  options?: ProjectedOptions & { readonly topK?: undefined },
): Promise<InstanceAttribution>;
export function projectedGaussNewton(
  model: Model,
  train: Instances | GradientStore,
  queries: Instances,
  options?: ProjectedOptions,
): Promise<InstanceAttribution | TopInstances> {
  return preconditioned("gaussNewton", model, train, queries, options);
}
