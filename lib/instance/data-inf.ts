// DataInf (Kwon et al. 2024): influence with the inverse of the mean taken as the mean of the inverses, in closed form.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution } from "../../types/results";
import type { GradientStore, TopInstances } from "../../types/store";
import { preconditioned, type ProjectedOptions } from "./store/source";

/**
 * score(q, z) = Σ over modules of r · g_z with r = (1 / nλ) Σ_i [v − (vᵀg_i) / (λ + ‖g_i‖²) g_i], v the query's gradient, g_i those of
 * the n training instances and λ = damping · the mean square of their entries. Positive: a proponent.
 * Unit: nats of query loss per unit of training weight.
 * `train`: instances, whose features are computed for this call, or a store. Cost: a forward and backward per training instance
 * (none with a store), then the matrices.
 * @returns scores [query, train], or with `topK` the best of each query
 * @example const ia = await dataInf(model, train, queries, { parameters: "head", rank: 0 });
 */
export function dataInf(
  model: Model,
  train: Instances | GradientStore,
  queries: Instances,
  options: ProjectedOptions & { readonly topK: number },
): Promise<TopInstances>;
export function dataInf(
  model: Model,
  train: Instances | GradientStore,
  queries: Instances,
  options?: ProjectedOptions & { readonly topK?: undefined },
): Promise<InstanceAttribution>;
export function dataInf(
  model: Model,
  train: Instances | GradientStore,
  queries: Instances,
  options?: ProjectedOptions,
): Promise<InstanceAttribution | TopInstances> {
  return preconditioned("dataInf", model, train, queries, options);
}
