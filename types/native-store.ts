// Gradient features on the addon's side, and stores of them.
import type { NativeBatching, NativeControl, NativeInstances, NativeModel } from "./native-call";
import type { NativeParts } from "./native-gradients";
import type { NativeJoint, NativeJointRequest } from "./native-joint";
import type { NativeQuantity } from "./quantity";

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

/** What stands between the features of query and training instance: see `storeSimilarity`. */
export type Preconditioner = "none" | "gaussNewton" | "dataInf" | "trak";

export interface NativeScoreParams {
  readonly preconditioner: Preconditioner;
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

/** Jobs on gradient features. */
export interface NativeStores {
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
}
