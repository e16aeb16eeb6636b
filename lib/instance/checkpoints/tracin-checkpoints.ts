// TracIn-CP (Pruthi et al. 2020): gradient similarity summed over the checkpoints of a training run.
import type { Instances } from "../../../types/data";
import type { InstanceAttribution } from "../../../types/results";
import type { GradientStore } from "../../../types/store";
import { AttributionError } from "../../errors";
import { memoryOf, oneOf, onlyKnown } from "../../options";
import {
  type Checkpoint,
  checkpointAttribution,
  checkpointOptionNames,
  type CheckpointOptions,
  type OpenCheckpoint,
  storesOf,
  sumOverCheckpoints,
} from "./checkpoints";
import { featureOptionNames, type FeatureOptions } from "../gradients/features";
import { gradientSimilarity } from "../gradient-similarity";
import type { QuantityOptions } from "../quantity";
import { queryFeatures, storeSimilarity } from "../store/scores";

export interface TracInOptions extends FeatureOptions, CheckpointOptions, QuantityOptions {
  /** Inner product, or its cosine at each checkpoint (0 where a gradient is 0). @default "dot" */
  readonly similarity?: "dot" | "cosine";
}

/**
 * score(q, z) = Σ_c η_c ⟨∇θL_c(q), ∇θL_c(z)⟩ over checkpoints c with their learning rates η_c: to first order, by how much steps on z
 * at the checkpoints lower the loss of q. Positive: a proponent. Unit: nats of query loss (dot).
 * `train`: instances (exact, nothing is projected), or one store per checkpoint. Cost: checkpoints × that of gradientSimilarity.
 * @returns scores [query, train]
 * @example
 * await fineTune(base, train, { epochs: 2, checkpoints: "run" });
 * const ia = await tracInCheckpoints(["run/epoch-1", "run/epoch-2"], train, queries);
 */
export async function tracInCheckpoints(
  checkpoints: readonly Checkpoint[],
  train: Instances | readonly GradientStore[],
  queries: Instances,
  options: TracInOptions = {},
): Promise<InstanceAttribution> {
  const given = onlyKnown(options, [...featureOptionNames, ...checkpointOptionNames, "similarity", "of"]);
  const similarity = oneOf(given, "similarity", "dot", ["dot", "cosine"]);
  const memory = memoryOf(given, "1 GB");
  const stores = storesOf(checkpoints, train);
  const own = stores && (["parameters", "reduction"] as const).find((name) => given[name] !== undefined);
  if (own !== undefined)
    throw new AttributionError(
      "invalid",
      `"${own}" is the stores': leave it out, or give training instances instead of stores`,
    );
  const scored = async ({ model, call }: OpenCheckpoint, index: number): Promise<InstanceAttribution> => {
    if (stores === undefined)
      return gradientSimilarity(model, train as Instances, queries, {
        parameters: options.parameters,
        reduction: options.reduction,
        similarity,
        memory,
        of: options.of,
        ...call,
      });
    const { signal, onProgress } = call;
    return storeSimilarity(
      stores[index],
      await queryFeatures(model, queries, stores[index], { ...call, of: options.of }),
      {
        similarity,
        memory,
        signal,
        onProgress,
      },
    );
  };
  const sum = await sumOverCheckpoints(checkpoints, options, async (checkpoint, index) => {
    const weight = await checkpoint.learningRate();
    return { attribution: await scored(checkpoint, index), weight };
  });
  return checkpointAttribution("tracInCheckpoints", sum, sum.scores, {
    unit:
      similarity === "cosine"
        ? "learning rate × cosine of loss gradients, summed over checkpoints"
        : "nats of query loss by steps on the training instance",
    options: { ...sum.attribution.provenance.options, learningRates: sum.weights },
  });
}
