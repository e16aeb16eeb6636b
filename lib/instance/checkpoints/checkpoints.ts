// The checkpoints of a training run, opened one after the other: what tracInCheckpoints, trakCheckpoints and
// optimizerAwareSimilarity share.
import type { ComputeType, Device } from "../../../types/architecture";
import type { Progress } from "../../../types/common";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { InstanceAttribution } from "../../../types/results";
import type { GradientStore } from "../../../types/store";
import { AttributionError, expected } from "../../errors";
import type { BatchOptions } from "../../model/batching";
import { loadModel } from "../../model/load-model";
import { readTrainingState } from "../../model/training-state";
import { requireStore } from "../store/scores";

/**
 * A model of a training run: a folder that fineTune's `checkpoints` wrote, or any model with the learning rate η that its part of
 * the run had. A folder is opened when its turn comes and closed after; a folder of fineTune's knows its η.
 */
export type Checkpoint = string | { readonly model: Model | string; readonly learningRate?: number };

export interface CheckpointOptions extends BatchOptions {
  /** Type of weights and arithmetic of the checkpoints that are opened here. @default "float32" */
  readonly dtype?: ComputeType;
  /** @default "cpu" */
  readonly device?: Device;
}

export const checkpointOptionNames = ["dtype", "device"] as const;

export interface OpenCheckpoint {
  readonly model: Model;
  /** Where it lies; undefined for a model that was given open. */
  readonly directory: string | undefined;
  /** η; "missing" where nobody knows it. */
  learningRate(): Promise<number>;
  /** The call's options for this checkpoint's part of the work. */
  readonly call: BatchOptions;
}

/** One checkpoint's scores [query, train] (default: the attribution's own), or parts of scores, and their weight in the sum. */
export interface CheckpointPart {
  readonly attribution: InstanceAttribution;
  readonly scores?: ArrayLike<number>;
  readonly weight: number;
}

export interface CheckpointSum {
  /** [query, train] Σ weight × scores. */
  readonly scores: Float64Array;
  readonly weights: readonly number[];
  /** Of each checkpoint. */
  readonly modelHashes: readonly string[];
  /** The last checkpoint's. */
  readonly attribution: InstanceAttribution;
}

/** Opens each checkpoint, scores with it, closes it, and adds the scores up. */
export async function sumOverCheckpoints(
  checkpoints: readonly Checkpoint[],
  { dtype, device, signal, batchTokens, onProgress }: CheckpointOptions,
  score: (checkpoint: OpenCheckpoint, index: number) => Promise<CheckpointPart>,
): Promise<CheckpointSum> {
  if (!Array.isArray(checkpoints) || checkpoints.length === 0)
    throw expected("checkpoints", "a list of at least one checkpoint", checkpoints);
  const parts: Omit<CheckpointPart, "scores">[] = [];
  const modelHashes: string[] = [];
  let sums = new Float64Array(0);
  for (const [index, { model: source, learningRate }] of checkpoints.map(asObject).entries()) {
    const directory = typeof source === "string" ? source : undefined;
    const model = typeof source === "string" ? await loadModel(source, { dtype, device, signal }) : source;
    const staged = (progress: Progress): unknown =>
      onProgress?.({ ...progress, stage: `${progress.stage}, checkpoint ${index + 1} of ${checkpoints.length}` });
    const call = { signal, batchTokens, ...(onProgress === undefined ? {} : { onProgress: staged }) };
    try {
      const { attribution, weight, scores } = await score(
        { model, directory, learningRate: () => learningRateOf(learningRate, directory, index), call },
        index,
      );
      const values = scores ?? attribution.scores;
      if (index === 0) sums = new Float64Array(values.length);
      for (let i = 0; i < sums.length; i++) sums[i] += weight * values[i];
      parts.push({ attribution, weight });
      modelHashes.push(model.hash);
    } finally {
      if (directory !== undefined) model.close();
    }
  }
  return {
    scores: sums,
    weights: parts.map(({ weight }) => weight),
    modelHashes,
    attribution: parts[parts.length - 1].attribution,
  };
}

function asObject(checkpoint: Checkpoint): Exclude<Checkpoint, string> {
  if (typeof checkpoint === "string") return { model: checkpoint };
  if (typeof checkpoint !== "object" || checkpoint === null || checkpoint.model === undefined)
    throw expected("checkpoints", "folders, or objects with a model and a learningRate", checkpoint);
  return checkpoint;
}

async function learningRateOf(
  given: number | undefined,
  directory: string | undefined,
  index: number,
): Promise<number> {
  const rate = given ?? (directory === undefined ? undefined : (await readTrainingState(directory))?.learningRate);
  if (rate === undefined)
    throw new AttributionError(
      "missing",
      `Checkpoint ${index} does not tell its learning rate: give { model, learningRate }`,
    );
  if (typeof rate !== "number" || !(rate >= 0)) throw expected("learningRate", "a number of at least 0", rate);
  return rate;
}

/** One store per checkpoint, or undefined where training instances are given. */
export function storesOf(
  checkpoints: readonly Checkpoint[],
  train: Instances | readonly GradientStore[],
): readonly GradientStore[] | undefined {
  if (!Array.isArray(train)) return undefined;
  if (!Array.isArray(checkpoints)) throw expected("checkpoints", "a list of at least one checkpoint", checkpoints);
  const stores = train as readonly GradientStore[];
  stores.forEach(requireStore);
  if (stores.length !== checkpoints.length)
    throw new AttributionError(
      "mismatch",
      `Expected a store for each of the ${checkpoints.length} checkpoints but received ${stores.length}`,
    );
  const other = stores.find(({ dataHash }) => dataHash !== stores[0].dataHash);
  if (other !== undefined)
    throw new AttributionError(
      "mismatch",
      `The store in ${other.directory} is of other training instances than that in ${stores[0].directory}`,
    );
  return stores;
}

/** The sum as a result; its model hash is those of the checkpoints with "+" between. */
export function checkpointAttribution(
  method: string,
  { attribution, modelHashes }: CheckpointSum,
  scores: Float64Array,
  { unit, options }: { readonly unit: string; readonly options: Readonly<Record<string, unknown>> },
): InstanceAttribution {
  const provenance = Object.freeze({
    ...attribution.provenance,
    method,
    options: Object.freeze({ ...options }),
    modelHash: modelHashes.join("+"),
  });
  return Object.freeze({ ...attribution, scores: Float32Array.from(scores), unit, provenance });
}
