// The addon's surface: what lib/native.ts may call. Every job runs on the one engine thread and settles a promise.
// Shapes are row-major and written [outer, inner]. Instances travel as their typed arrays, which the call copies.
import type { NativeJoint, NativeJointRequest } from "./native-joint";
import type { NativeQuantity } from "./quantity";
import type { NativeReplay, NativeReplayParams } from "./native-replay";
import type { Architecture, ComputeType, Device, WeightSource } from "./architecture";
import type {
  NativeInstances,
  NativeBatching,
  NativeBudget,
  NativeSite,
  NativeNeuronParams,
  NativeNeuronResult,
  NativeBatchShape,
  NativeNeuronMemory,
  NativeUnitSets,
  NativeUnitWrites,
  NativePatchingParams,
  NativePatchingResult,
  NativeInputTokenParams,
  NativeInputTokenResult,
  NativeUnitSetResult,
} from "./native-neurons";

export type * from "./native-neurons";

/** An opaque handle on a model's weights. */
export type NativeModel = object & { readonly brand?: "NativeModel" };

/** `abort[0] = 1` stops the job at its next batch. */
export interface NativeControl {
  readonly abort: Uint8Array;
  readonly progress?: (done: number, total: number, stage: string) => void;
}

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

export interface NativeFeatureParams extends NativeBudget {
  /** Names of modules, e.g. "layers.0.mlp.up"; see `moduleNames`. */
  readonly modules: readonly string[];
  readonly reduction: "sum" | "mean";
  /** What the queries' gradients are of. @default their loss */
  readonly of?: NativeQuantity;
}

export interface NativeOptimizerAwareParams extends NativeFeatureParams {
  readonly similarity: "dot" | "cosine";
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

export interface NativeInfluenceParams extends NativeFeatureParams {
  readonly inverse: "lissa" | "cg" | "arnoldi" | "ekfac" | "identity";
  /** λ, added to the Hessian's diagonal (cg, arnoldi); ekfac: as a share of each module's mean eigenvalue. */
  readonly damping: number;
  /** The network for every product with H, also where states can be cached. */
  readonly fullPath: boolean;
  /** LiSSA: h ← v + (1 − lissaDamping) h − H h / scale. */
  readonly lissaDamping: number;
  readonly scale: number;
  readonly recursions: number;
  readonly repeats: number;
  readonly batchSize: number;
  readonly iterations: number;
  readonly tolerance: number;
  /** arnoldi: eigenpairs kept. */
  readonly rank: number;
  /** ekfac: stored factors, `weight` being "<module>.inputBasis", ".outputBasis" or ".eigenvalues"; none: they are fitted. */
  readonly factors: readonly WeightSource[];
  readonly fisher: "sampled" | "empirical";
  readonly seed: number;
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
  readonly trainable: "all" | "head";
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

export interface NativeInfluenceResult {
  /** [query, train] */
  readonly scores: Float32Array;
  readonly iterations: number;
  readonly residual: number;
  /** arnoldi: of the pairs kept; else empty. */
  readonly eigenvalues: Float64Array;
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

export type Projection = "gaussian" | "rademacher" | "pca" | "dense" | "sparse" | "factoredSparse";

/** How gradients become features; with rank 0 a side is not projected. */
export interface NativeFeatureSettings {
  readonly modules: readonly string[];
  readonly rank: number;
  readonly projection: Projection;
  /** Inputs and outputs that "factoredSparse" keeps of a module. */
  readonly mask: number;
  /** "pca": as `principalDirections` gives them; else empty. */
  readonly bases: Float32Array;
  readonly seed: number;
  readonly reduction: "sum" | "mean";
}

export type RowType = "float32" | "float16" | "bfloat16" | "int8";

/** A store's shards, already made whole on disk; offsets are of the tensors "features" [row, width], "scales" [row, segment] and "losses" [row]. */
export interface NativeStore {
  readonly type: RowType;
  /** First feature of each module, and the width. */
  readonly segments: Int32Array;
  readonly shards: readonly {
    readonly file: string;
    readonly rows: number;
    readonly features: number;
    readonly scales: number;
    readonly losses: number;
  }[];
}

export interface NativeScoreParams {
  readonly preconditioner: "none" | "gaussNewton" | "dataInf" | "trak";
  /** λ as a share of the mean diagonal. */
  readonly damping: number;
  readonly similarity: "dot" | "cosine";
  /** Best rows of each query; 0 is the full matrix. */
  readonly top: number;
  /** TRAK: [row], [query] 1 − p of the instance; else empty. */
  readonly rowDoubts: Float64Array;
  readonly queryDoubts: Float64Array;
  readonly memoryBytes: number;
}

/** Entry i pairs source sources[i] with target targets[i]; a part for each module, each token of the target, or each token of the source. */
export interface NativeParts {
  readonly sources: Int32Array;
  readonly targets: Int32Array;
  readonly parts: "modules" | "tokens" | "vectorTokens";
}

export interface NativeAddon {
  versions(): {
    readonly libtorch: string;
    readonly compiledWith: string;
    readonly cuda: boolean;
    readonly threads: number;
  };
  setThreads(threads: number): void;
  /** Cancels all jobs, waits for the running one's batch, and takes no more: for the end of the process. */
  stopEngine(): void;
  /** Locks a file until `unlockFile`, or until the process ends; undefined where someone else holds it. */
  lockFile(path: string): object | undefined;
  unlockFile(lock: object): void;
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
  /** Bytes that a batch of such a shape takes: see native/neuron/memory.h. */
  neuronMemory(
    p: NativeBatchShape & {
      readonly architecture: Architecture;
      readonly dtype: ComputeType;
      readonly effort: "rows" | "gradients" | "forwards";
    },
  ): NativeNeuronMemory;
  neuronScores(
    model: NativeModel,
    d: NativeInstances,
    p: NativeNeuronParams,
    c: NativeControl,
  ): Promise<NativeNeuronResult>;
  changeUnits(
    model: NativeModel,
    d: NativeInstances,
    p: NativeUnitSets,
    c: NativeControl,
  ): Promise<NativeUnitSetResult>;
  /** Greedy continuations [instance, token] with each instance's one set of units changed from the prompt's last token on. */
  generate(
    model: NativeModel,
    d: NativeInstances,
    p: NativeUnitSets & { readonly tokens: number },
    c: NativeControl,
  ): Promise<Int32Array>;
  /** What units' writes say of tokens through the final norm and the head: the best of them, and the rank (from 1) of an asked one. */
  inputTokens(
    model: NativeModel,
    instances: NativeInstances,
    p: NativeInputTokenParams,
    c: NativeControl,
  ): Promise<NativeInputTokenResult>;
  patchingScores(
    model: NativeModel,
    instances: NativeInstances,
    p: NativePatchingParams,
    c: NativeControl,
  ): Promise<NativePatchingResult>;
  unitTokens(
    model: NativeModel,
    p: NativeUnitWrites,
    c: NativeControl,
  ): Promise<{ ids: Int32Array; logits: Float32Array; ranks: Int32Array }>;
  /** [query, train] inner products (or cosines) of per-instance gradients. */
  gradientSimilarity(
    model: NativeModel,
    train: NativeInstances,
    queries: NativeInstances,
    p: NativeFeatureParams & { similarity: "dot" | "cosine" },
    c: NativeControl,
  ): Promise<Float32Array>;
  /** `first`, `second`: Adam's moments as models. */
  optimizerAwareSimilarity(
    model: NativeModel,
    first: NativeModel,
    second: NativeModel,
    train: NativeInstances,
    queries: NativeInstances,
    p: NativeOptimizerAwareParams,
    c: NativeControl,
  ): Promise<Float32Array>;
  /** Parts of all pairs one after the other; the sources are training instances, whose steps of Adam are the vectors. */
  optimizerAwareParts(
    model: NativeModel,
    first: NativeModel,
    second: NativeModel,
    train: NativeInstances,
    queries: NativeInstances,
    p: NativeOptimizerAwareParams & NativeParts,
    c: NativeControl,
  ): Promise<Float64Array>;
  influence(
    model: NativeModel,
    train: NativeInstances,
    queries: NativeInstances,
    p: NativeInfluenceParams,
    c: NativeControl,
  ): Promise<NativeInfluenceResult>;
  /** [train] the diagonal of `influence` of a training set with itself; the identity: squared norms. */
  selfInfluence(
    model: NativeModel,
    train: NativeInstances,
    p: NativeInfluenceParams,
    c: NativeControl,
  ): Promise<NativeInfluenceResult>;
  /** Parts of all pairs one after the other; see NativeParts. The sources' gradients go through the inverse. */
  influenceParts(
    model: NativeModel,
    train: NativeInstances,
    sources: NativeInstances,
    targets: NativeInstances,
    p: NativeInfluenceParams & NativeParts & { readonly similarity: "dot" | "cosine" },
    c: NativeControl,
  ): Promise<Float64Array>;
  /** [instance] f of each. */
  quantityValues(
    model: NativeModel,
    instances: NativeInstances,
    p: NativeBatching & { readonly of: NativeQuantity },
    c: NativeControl,
  ): Promise<Float64Array>;
  /** Scores split by unit; the sources' gradients go through the inverse. */
  influenceUnits(
    model: NativeModel,
    train: NativeInstances,
    sources: NativeInstances,
    targets: NativeInstances,
    p: NativeInfluenceParams & NativeJointRequest & { readonly similarity: "dot" | "cosine" },
    c: NativeControl,
  ): Promise<NativeJoint>;
  /** The same of features `vectors` [source, width]; scales [source], [target] or empty. */
  featureUnits(
    model: NativeModel,
    targets: NativeInstances,
    p: NativeJointRequest & {
      readonly settings: NativeFeatureSettings;
      readonly vectors: Float64Array;
      readonly width: number;
      readonly sourceScales: Float64Array;
      readonly targetScales: Float64Array;
      readonly batchTokens: number;
    },
    c: NativeControl,
  ): Promise<NativeJoint>;
  /** Makes a safetensors file of EK-FAC's factors at `path`; see NativeInfluenceParams.factors. Of the model's type, bfloat16 as float. */
  fitEkfac(
    model: NativeModel,
    train: NativeInstances,
    p: NativeFeatureParams & { seed: number; fisher: "sampled" | "empirical"; path: string },
    c: NativeControl,
  ): Promise<void>;
  featureOffsets(model: NativeModel, settings: NativeFeatureSettings): Int32Array;
  buildStore(
    model: NativeModel,
    d: NativeInstances,
    p: NativeBatching & { settings: NativeFeatureSettings; store: NativeStore; firstRow: number; flagFile: string },
    c: NativeControl,
  ): Promise<{ computed: number; seconds: number; tokens: number }>;
  /** The matrix [rank, width] of one side of a module, "<module>.input" (its width counts the bias) or "<module>.output". */
  projectionMatrix(p: {
    readonly projection: "gaussian" | "rademacher";
    readonly rank: number;
    readonly width: number;
    readonly seed: number;
    readonly name: string;
  }): Float32Array;
  /** The row of each column's entry and its sign, [width] each; see native/instance/features/projection.h. */
  sparseProjection(p: {
    readonly features: number;
    readonly width: number;
    readonly seed: number;
    readonly name: string;
  }): { buckets: Int32Array; signs: Float32Array };
  /** The places that a mask keeps, rising. */
  randomPlaces(p: {
    readonly kept: number;
    readonly width: number;
    readonly seed: number;
    readonly name: string;
  }): Int32Array;
  /** Directions of all sides that are longer than the rank, [rank, width] each, one after the other. */
  principalDirections(
    model: NativeModel,
    d: NativeInstances,
    p: NativeBatching & { settings: NativeFeatureSettings },
    c: NativeControl,
  ): Promise<Float32Array>;
  /** [instance, width], and the losses [instance] whose gradients they are; with `ofTokens` [token, …] of all tokens of the instances. */
  gradientFeatures(
    model: NativeModel,
    d: NativeInstances,
    p: NativeBatching & { settings: NativeFeatureSettings; ofTokens?: boolean; of?: NativeQuantity },
    c: NativeControl,
  ): Promise<{ features: Float32Array; losses: Float32Array }>;
  /** Parts of all pairs one after the other; the sources are vectors [source, width] in the features' space. */
  featureParts(
    model: NativeModel,
    targets: NativeInstances,
    p: NativeParts & {
      readonly settings: NativeFeatureSettings;
      readonly vectors: Float64Array;
      readonly width: number;
    },
    c: NativeControl,
  ): Promise<Float64Array>;
  /** Chosen rows [n, width] as float32. */
  storeRows(store: NativeStore, p: { readonly rows: Int32Array }, c: NativeControl): Promise<Float32Array>;
  /** The queries under the preconditioner's matrix, [query, width]. */
  storePreconditioned(
    store: NativeStore,
    p: NativeScoreParams & { queries: Float32Array },
    c: NativeControl,
  ): Promise<Float64Array>;
  /** Scores [query, row], or [query, top] with their rows' indices. */
  storeScores(
    store: NativeStore,
    p: NativeScoreParams & { queries: Float32Array },
    c: NativeControl,
  ): Promise<{ scores: Float32Array; indices: Int32Array }>;
  /** [row] */
  storeSelfScores(store: NativeStore, p: NativeScoreParams, c: NativeControl): Promise<Float32Array>;
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
