// Optimizer-aware similarity (LESS, Xia et al. 2024): the training side is the step that Adam would take, not the gradient.
import type { Instances } from "../../../types/data";
import type { InstanceAttribution } from "../../../types/results";
import type { Model } from "../../../types/model";
import type { NativeOptimizerAwareParams } from "../../../types/native";
import { selectInstances } from "../../data/instances";
import { AttributionError } from "../../errors";
import { handleOf } from "../../model/model";
import { openMoments, readTrainingState } from "../../model/training-state";
import { native, runNative } from "../../native";
import { leastAboveZero, number, oneOf, onlyKnown } from "../../options";
import { type BreakdownRequest, distinct, isStore, type MadeParts } from "../breakdown/request";
import {
  type Checkpoint,
  checkpointAttribution,
  checkpointOptionNames,
  type CheckpointOptions,
  type OpenCheckpoint,
  sumOverCheckpoints,
} from "./checkpoints";
import {
  checkPair,
  type FeatureOptions,
  featureOptionNames,
  featureParams,
  instanceAttribution,
} from "../gradients/features";

export interface OptimizerAwareOptions extends FeatureOptions, CheckpointOptions {
  /** Cosine at each checkpoint (0 where a gradient is 0), or inner product. @default "cosine" */
  readonly similarity?: "cosine" | "dot";
  /** Under the root beside v. @default 1e-8 */
  readonly epsilon?: number;
  /** A causal LM's loss of an instance; the moments are those of fineTune, which takes the mean over its target tokens. @default "mean" */
  readonly reduction?: "sum" | "mean";
}

/**
 * score(q, z) = Σ_c η_c cos(∇L_c(q), Γ_c(z)) with Γ = (β₁m + (1 − β₁)g) / √(β₂v + (1 − β₂)g² + ε), g the gradient of z, m and v Adam's moments
 * at checkpoint c (of clipped batch gradients, not bias-corrected, as in the paper) and β those of the run. Exact: the paper projects both sides at random.
 * Positive: a step on z lowers the loss of q. Unit: learning rate × cosine.
 * The checkpoints are folders that fineTune wrote with `optimizerState: true`. Cost: per checkpoint a forward and backward per
 * training instance and block of queries, and some passes over a vector of the parameters' size for each instance.
 * @returns scores [query, train]
 * @example
 * await fineTune(base, train, { epochs: 2, checkpoints: "run", optimizerState: true });
 * const ia = await optimizerAwareSimilarity(["run/epoch-1", "run/epoch-2"], train, queries);
 */
export async function optimizerAwareSimilarity(
  checkpoints: readonly Checkpoint[],
  train: Instances,
  queries: Instances,
  options: OptimizerAwareOptions = {},
): Promise<InstanceAttribution> {
  const given = onlyKnown(options, [...featureOptionNames, ...checkpointOptionNames, "similarity", "epsilon"]);
  const similarity = oneOf(given, "similarity", "cosine", ["cosine", "dot"]);
  const epsilon = number(given, "epsilon", 1e-8, leastAboveZero);
  const sum = await sumOverCheckpoints(checkpoints, options, async ({ model, directory, learningRate, call }) => {
    checkPair(model, train, queries);
    const { path, beta1, beta2 } = await adamOf(directory);
    const params = {
      ...featureParams(model, { ...given, reduction: given["reduction"] ?? "mean" }),
      similarity,
      epsilon,
      beta1,
      beta2,
    };
    const weight = await learningRate();
    const scores = await scoresAt(model, path, train, queries, params, call);
    const { modules, reduction } = params;
    const attribution = instanceAttribution({
      method: "optimizerAwareSimilarity",
      model,
      train,
      queries,
      scores,
      unit: "",
      options: { parameters: modules, reduction, similarity, epsilon, betas: [beta1, beta2] },
    });
    return { attribution, weight };
  });
  return checkpointAttribution("optimizerAwareSimilarity", sum, sum.scores, {
    unit: `learning rate × ${similarity === "cosine" ? "cosine" : "inner product"} of loss gradient and Adam's step, summed over checkpoints`,
    options: { ...sum.attribution.provenance.options, learningRates: sum.weights },
  });
}

/** For `breakdown`: parts at one checkpoint, where the vector is Adam's step. */
export async function optimizerAwareParts({
  model,
  directory,
  train,
  queries,
  by,
  pairs,
  made,
  given,
}: BreakdownRequest): Promise<MadeParts> {
  if (by === "trainToken")
    throw new AttributionError(
      "unsupported",
      'Adam\'s step is no sum over the training instance\'s tokens: break down by "module" or "queryToken"',
    );
  if (isStore(train) || given.store !== undefined || given.factors !== undefined)
    throw new AttributionError("invalid", `"${made.method}" takes training instances, no store and no factors`);
  const { path, beta1, beta2 } = await adamOf(directory);
  const { parameters, reduction, similarity, epsilon } = made.options as {
    parameters: string[];
    reduction: "sum" | "mean";
    similarity: "dot" | "cosine";
    epsilon: number;
  };
  const params = {
    ...featureParams(model, { parameters, reduction, batchTokens: given.batchTokens, memory: given.memory }),
    similarity,
    epsilon,
    beta1,
    beta2,
  };
  const [q, z] = [distinct(pairs.queries), distinct(pairs.trains)];
  const nativeParams = {
    ...params,
    sources: z.indices,
    targets: q.indices,
    parts: by === "module" ? "modules" : "tokens",
  } as const;
  using moments = await openMoments(model, path);
  const { first, second } = moments;
  const parts = await runNative(
    (control) =>
      native().optimizerAwareParts(
        handleOf(model),
        first,
        second,
        selectInstances(train, z.chosen),
        selectInstances(queries, q.chosen),
        nativeParams,
        control,
      ),
    { signal: given.signal, onProgress: given.onProgress },
  );
  return { parts, modules: params.modules };
}

async function adamOf(directory: string | undefined): Promise<{ path: string; beta1: number; beta2: number }> {
  const state = directory === undefined ? undefined : await readTrainingState(directory);
  if (directory === undefined || state === undefined)
    throw new AttributionError(
      "missing",
      "Expected checkpoints that are folders of fineTune's, made with optimizerState: true: Adam's moments lie there",
    );
  return { path: directory, beta1: state.betas[0], beta2: state.betas[1] };
}

async function scoresAt(
  model: Model,
  directory: string,
  train: Instances,
  queries: Instances,
  params: NativeOptimizerAwareParams,
  call: OpenCheckpoint["call"],
): Promise<Float32Array> {
  using moments = await openMoments(model, directory);
  const { first, second } = moments;
  return await runNative(
    (control) => native().optimizerAwareSimilarity(handleOf(model), first, second, train, queries, params, control),
    call,
  );
}
