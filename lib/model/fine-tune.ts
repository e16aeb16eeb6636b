// Fine-tuning: the native AdamW loop. The given model is untouched; a new one comes back.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeFineTuneParams } from "../../types/native";
import { AttributionError, expected } from "../errors";
import { native, runNative } from "../native";
import { boolean, integer, leastAboveZero, number, oneOf, onlyKnown, pathOf, seedOf } from "../options";
import { type BatchOptions, batchOptionNames, batchTokensOf } from "./batching";
import { newAdapter } from "./adapters/open";
import { requestedAdapter, type AdapterRequest } from "./adapters/request";
import { withCheckpoints } from "./checkpoint-folders";
import { checkLosses } from "./fit";
import { descriptionOf, handleOf, wrapLike } from "./model";

export interface FineTuneOptions extends BatchOptions {
  /** Passes over the training instances. @default 3 (paper: 5) */
  readonly epochs?: number;
  /** Instances of one forward and backward. @default 8 (paper: 4) */
  readonly batchSize?: number;
  /** Batches of one optimizer step. @default 1 */
  readonly accumulation?: number;
  /** Peak learning rate of AdamW. @default 1e-5 */
  readonly learningRate?: number;
  /** Decoupled weight decay, of all weights. @default 0.01 */
  readonly weightDecay?: number;
  /** "sgd": with momentum; its weight decay is added to the gradient, as PyTorch has it. @default "adamw" */
  readonly optimizer?: "adamw" | "sgd";
  /** AdamW's β₁ and β₂. @default [0.9, 0.999] */
  readonly betas?: readonly [number, number];
  /** AdamW's ε, added to √v̂. @default 1e-8 */
  readonly epsilon?: number;
  /** AdamW: added to v̂ inside the root, which has a derivative at v̂ = 0 then; see trainingInfluence. @default 0 */
  readonly epsilonRoot?: number;
  /** SGD's. @default 0 */
  readonly momentum?: number;
  /** [instance] factors of the instances' losses; a step still divides by its number of instances. @default all 1 */
  readonly instanceWeights?: ArrayLike<number>;
  /** After the warm-up: linear to 0 at the last step, or constant. @default "linear" */
  readonly schedule?: "linear" | "constant";
  /** Steps over which the learning rate rises from 0. @default 0 */
  readonly warmupSteps?: number;
  /** Longest gradient norm of a step; 0 is none. @default 1 */
  readonly clip?: number;
  /** Use the architecture's dropout. @default true */
  readonly dropout?: boolean;
  /** Batches of like lengths in a seeded order; all shuffled; or as given. @default "lengthSorted" */
  readonly order?: "lengthSorted" | "shuffled" | "given";
  /** Weights that learn; of a model with an adapter it is the adapter. @default "all" */
  readonly trainable?: "all" | "head";
  /** Trains a new low-rank adapter (LoRA) in place of the weights, which stay the base's; a head of classes learns with it. @default none */
  readonly adapter?: AdapterRequest;
  /** @default 42 */
  readonly seed?: number;
  /** Held-out instances, evaluated after each epoch. */
  readonly evaluation?: Instances;
  /** With `evaluation`: the weights of the epoch with the best accuracy (causal LM: the lowest loss), or the last. @default "best" */
  readonly keep?: "best" | "last";
  /** Folder that gets `epoch-1`, `epoch-2`, …, each a model that loadModel reads, with the epoch's learning rate in `training.json`. */
  readonly checkpoints?: string;
  /** With `checkpoints`: AdamW's moments beside the weights, for optimizerAwareSimilarity; twice the size of the weights. @default false */
  readonly optimizerState?: boolean;
  /** The paper's recipe: 5 epochs, batch 4, 1e-5, linear decay. */
  readonly preset?: "paper";
}

export interface FineTuned {
  readonly model: Model;
  /** [step] mean loss of the step's instances, in nats; a causal LM's instance counts the mean over its target tokens. */
  readonly losses: Float64Array;
  /** [step] */
  readonly learningRates: Float64Array;
  /** [epoch] on `evaluation`; NaN without. */
  readonly evaluationLosses: Float64Array;
  readonly evaluationAccuracies: Float64Array;
  /** 0-based epoch whose weights the model has. */
  readonly keptEpoch: number;
}

const names = [
  ...batchOptionNames,
  "epochs",
  "batchSize",
  "accumulation",
  "learningRate",
  "weightDecay",
  "optimizer",
  "betas",
  "epsilon",
  "epsilonRoot",
  "momentum",
  "instanceWeights",
  "schedule",
  "warmupSteps",
  "clip",
  "dropout",
  "order",
  "trainable",
  "adapter",
  "seed",
  "evaluation",
  "keep",
  "checkpoints",
  "optimizerState",
  "preset",
];

/**
 * Like fineTune, with the history of the run.
 * @example const { model: tuned, losses, evaluationAccuracies } = await fineTuneWithHistory(base, train, { evaluation: heldOut });
 */
export async function fineTuneWithHistory(
  model: Model,
  instances: Instances,
  options: FineTuneOptions = {},
): Promise<FineTuned> {
  return withAdapter(model, options, (learning) => tune(learning, instances, options));
}

async function tune(model: Model, instances: Instances, options: FineTuneOptions): Promise<FineTuned> {
  const params = fineTuneParams(options, instances, model);
  const { evaluation = null, checkpoints } = options;
  if (checkpoints !== undefined) pathOf("checkpoints", "a folder's path", checkpoints);
  const keepsState = boolean({ ...options }, "optimizerState", false);
  if (keepsState && checkpoints === undefined)
    throw new AttributionError("invalid", '"optimizerState" lies in the folders of "checkpoints": name their folder');
  if (keepsState && params.trainable === "adapter")
    throw new AttributionError(
      "unsupported",
      '"optimizerState" is kept of whole models, and only the adapter learns here',
    );
  checkLosses(model, instances, "instances");
  if (evaluation !== null) checkLosses(model, evaluation, "evaluation");
  if (checkpoints === undefined) return run(model, instances, evaluation, params, options);
  return withCheckpoints(model, { folder: checkpoints, keepsState }, params, (full) =>
    run(model, instances, evaluation, full, options),
  );
}

/**
 * Fine-tunes all weights (or the head, or an adapter) on the instances and returns a new model; the given one is untouched. Close both.
 * Cost: epochs × (forward + backward) over the instances, and four copies of the weights that learn.
 * @example const tuned = await fineTune(base, train, { epochs: 3, learningRate: 5e-5, evaluation: heldOut });
 */
export async function fineTune(model: Model, instances: Instances, options: FineTuneOptions = {}): Promise<Model> {
  return (await fineTuneWithHistory(model, instances, options)).model;
}

/** The options for the core, checked; without the files of checkpoints. */
export function fineTuneParams(options: FineTuneOptions, instances: Instances, model: Model): NativeFineTuneParams {
  const given = onlyKnown(options, names);
  const optimizer = oneOf(given, "optimizer", "adamw", ["adamw", "sgd"]);
  requireOptimizersOwn(given, optimizer);
  const paper = given["preset"] !== undefined && oneOf(given, "preset", "paper", ["paper"]) === "paper";
  const [beta1, beta2] = betasOf(options.betas ?? [0.9, 0.999]);
  return {
    batchTokens: batchTokensOf(given),
    epochs: integer(given, "epochs", paper ? 5 : 3, 1, 10_000),
    batchSize: integer(given, "batchSize", paper ? 4 : 8, 1),
    accumulation: integer(given, "accumulation", 1, 1),
    learningRate: number(given, "learningRate", 1e-5, 0, 10),
    weightDecay: number(given, "weightDecay", 0.01, 0, 1),
    beta1,
    beta2,
    epsilon: number(given, "epsilon", 1e-8, leastAboveZero, 1),
    optimizer,
    epsilonRoot: number(given, "epsilonRoot", 0, 0, 1),
    momentum: number(given, "momentum", 0, 0, 1),
    instanceWeights: weightsOf(given["instanceWeights"], instances),
    schedule: oneOf(given, "schedule", "linear", ["linear", "constant"]),
    warmupSteps: integer(given, "warmupSteps", 0, 0),
    clip: number(given, "clip", 1, 0),
    dropout: boolean(given, "dropout", true),
    order: oneOf(given, "order", "lengthSorted", ["lengthSorted", "shuffled", "given"]),
    trainable: trainableOf(given, model),
    seed: seedOf(given),
    keep: oneOf(given, "keep", "best", ["best", "last"]),
    checkpointFiles: [],
    checkpointHeader: new Uint8Array(0),
    checkpointWeights: [],
    firstMomentFiles: [],
    secondMomentFiles: [],
  };
}

function trainableOf(given: Readonly<Record<string, unknown>>, model: Model): "all" | "head" | "adapter" {
  const { architecture } = descriptionOf(model);
  const trainable = oneOf(given, "trainable", "all", ["all", "head"]);
  if (architecture.adapter === undefined) return trainable;
  if (given["trainable"] !== undefined)
    throw new AttributionError("invalid", `Of a model with an adapter the adapter learns: leave "trainable" out`);
  return "adapter";
}

/** Runs `use` on the model, or with `adapter` on one with a new adapter. */
export async function withAdapter<T>(
  model: Model,
  options: FineTuneOptions,
  use: (model: Model) => Promise<T>,
): Promise<T> {
  if (options?.adapter === undefined) return use(model);
  const { architecture, seed } = requestedAdapter(model.architecture, options.adapter);
  using adapted = await newAdapter(model, architecture, seed, { signal: options.signal });
  return await use(adapted);
}

/** Refuses what the other optimizer has. */
function requireOptimizersOwn(given: Readonly<Record<string, unknown>>, optimizer: "adamw" | "sgd"): void {
  const others = optimizer === "sgd" ? ["betas", "epsilon", "epsilonRoot", "optimizerState"] : ["momentum"];
  const other = others.find((name) => given[name] !== undefined && given[name] !== false);
  if (other !== undefined)
    throw new AttributionError(
      "invalid",
      `"${other}" is ${optimizer === "sgd" ? "AdamW's" : "SGD's"}; it contradicts optimizer: "${optimizer}"`,
    );
}

function weightsOf(weights: unknown, instances: Instances): Float64Array {
  if (weights === undefined) return new Float64Array(0);
  const isList = Array.isArray(weights) || ArrayBuffer.isView(weights);
  const list = isList ? Float64Array.from(weights as ArrayLike<number>) : new Float64Array(0);
  if (list.length !== instances?.size || !list.every(Number.isFinite))
    throw expected("instanceWeights", "a finite number for each instance", weights);
  return list;
}

function betasOf(betas: readonly number[]): [number, number] {
  const valid = betas.length === 2 && betas.every((b) => typeof b === "number" && b >= 0 && b < 1);
  if (!valid) throw new AttributionError("invalid", 'Expected "betas" to be two numbers within 0–1 (1 excluded)');
  return [betas[0], betas[1]];
}

async function run(
  model: Model,
  instances: Instances,
  evaluation: Instances | null,
  params: NativeFineTuneParams,
  options: FineTuneOptions,
): Promise<FineTuned> {
  const result = await runNative(
    (control) => native().fineTune(handleOf(model), instances, evaluation, params, control),
    options,
  );
  const { losses, learningRates, evaluationLosses, evaluationAccuracies, keptEpoch } = result;
  return Object.freeze({
    model: wrapLike(model, result),
    losses,
    learningRates,
    evaluationLosses,
    evaluationAccuracies,
    keptEpoch,
  });
}
