// Models on the addon's side: load, save, evaluate, capture, train.
import type { Architecture, ComputeType, Device, WeightSource } from "./architecture";
import type { NativeBatching, NativeControl, NativeInstances, NativeModel, NativeSite } from "./native-call";
import type { NativeReplay, NativeReplayParams } from "./native-replay";

export interface NativeModelInfo {
  readonly model: NativeModel;
  readonly hash: string;
  readonly parameters: number;
}

export interface NativeWeightInfo {
  readonly name: string;
  readonly shape: readonly number[];
}

export interface NativeEvaluateResult {
  /** [instance] summed over target tokens (causal LM), else the cross-entropy of the label; NaN without label. */
  readonly losses: Float64Array;
  /** [instance] class, choice, or next token; */
  readonly predictions: Int32Array;
  /** [instance] probability of the prediction. */
  readonly probabilities: Float64Array;
  /** [instance] target tokens (causal LM) or 1. */
  readonly targetTokens: Int32Array;
  /** With `logits`: [row, label] (causal LM: [row, vocabulary] at the readout position). */
  readonly logits?: Float32Array;
}

export interface NativeFineTuneParams extends NativeBatching {
  readonly epochs: number;
  /** Instances per forward; `accumulation` of them make a step. */
  readonly batchSize: number;
  readonly accumulation: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly optimizer: "adamw" | "sgd";
  readonly epsilonRoot: number;
  readonly momentum: number;
  /** [instance], or empty: 1. */
  readonly instanceWeights: Float64Array;
  readonly schedule: "linear" | "constant";
  readonly warmupSteps: number;
  /** Longest allowed gradient norm; 0 is none. */
  readonly clip: number;
  readonly dropout: boolean;
  readonly order: "lengthSorted" | "shuffled" | "given";
  readonly trainable: "all" | "head" | "adapter";
  readonly seed: number;
  readonly keep: "best" | "last";
  /** Where to write each epoch's weights: file per epoch (already made folders), with a ready header. Empty: none. */
  readonly checkpointFiles: readonly string[];
  readonly checkpointHeader: Uint8Array;
  readonly checkpointWeights: readonly string[];
  /** Where to write each epoch's optimizer state, with the same header: AdamW's first and second moments. Empty: none. */
  readonly firstMomentFiles: readonly string[];
  readonly secondMomentFiles: readonly string[];
}

export interface NativeFineTuneResult extends NativeModelInfo {
  /** [step] mean loss of the step's instances. */
  readonly losses: Float64Array;
  readonly learningRates: Float64Array;
  /** [epoch] on the evaluation instances; NaN without. */
  readonly evaluationLosses: Float64Array;
  readonly evaluationAccuracies: Float64Array;
  /** 0-based epoch whose weights were kept. */
  readonly keptEpoch: number;
}

/** Jobs on whole models. */
export interface NativeModels {
  openModel(
    p: {
      architecture: Architecture;
      weights: readonly WeightSource[];
      dtype: ComputeType;
      device: Device;
      newHeadSeed: number;
      newHeadDeviation: number;
    },
    c: NativeControl,
  ): Promise<NativeModelInfo>;
  createModel(
    p: { architecture: Architecture; dtype: ComputeType; device: Device; seed: number; deviation: number },
    c: NativeControl,
  ): Promise<NativeModelInfo>;
  /** The base under the adapter of `architecture`; weights without a source are the base's. A seed ≥ 0 draws A, with B = 0. */
  addAdapter(
    base: NativeModel,
    p: { architecture: Architecture; weights: readonly WeightSource[]; seed: number },
    c: NativeControl,
  ): Promise<NativeModelInfo>;
  /** The plain model with W + scale · B A in place of W. */
  mergeAdapter(model: NativeModel, c: NativeControl): Promise<NativeModelInfo>;
  closeModel(model: NativeModel): void;
  /** Every weight the architecture has, in the order they are stored. */
  expectedWeights(architecture: Architecture): NativeWeightInfo[];
  /** Names of all modules with parameters, in stored order, the head last. */
  moduleNames(architecture: Architecture): string[];
  /** Writes a safetensors file: header (length prefix included), then the named weights in that order, as `dtype`. */
  writeWeights(
    model: NativeModel,
    p: { file: string; header: Uint8Array; weights: readonly string[]; dtype: ComputeType },
    c: NativeControl,
  ): Promise<void>;
  /** A model with `rows` embedding rows; new rows are the mean of the old ones. */
  resizeEmbedding(model: NativeModel, p: { rows: number }, c: NativeControl): Promise<NativeModelInfo>;
  evaluate(
    model: NativeModel,
    d: NativeInstances,
    p: NativeBatching & { logits: boolean },
    c: NativeControl,
  ): Promise<NativeEvaluateResult>;
  /** Hidden state after the final norm at the readout position, [row, hidden]. */
  readoutStates(model: NativeModel, d: NativeInstances, p: NativeBatching, c: NativeControl): Promise<Float32Array>;
  /** Unit values [token or row, layer, feature]: at every position, or at the readout position only. Heads give whole slices. */
  captureSite(
    model: NativeModel,
    d: NativeInstances,
    p: NativeBatching & { site: NativeSite; layers: Int32Array; positions: "readout" | "all" },
    c: NativeControl,
  ): Promise<Float32Array>;
  fineTune(
    model: NativeModel,
    train: NativeInstances,
    evaluation: NativeInstances | null,
    p: NativeFineTuneParams,
    c: NativeControl,
  ): Promise<NativeFineTuneResult>;
  trainingInfluence(
    model: NativeModel,
    train: NativeInstances,
    queries: NativeInstances,
    p: NativeReplayParams & { readonly training: NativeFineTuneParams },
    c: NativeControl,
  ): Promise<NativeReplay>;
}
