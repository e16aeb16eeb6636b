import type { ComputeType } from "./architecture";
import type { Preconditioner, Projection, RowType } from "./native-store";
import type { Quantity } from "./quantity";
import type { InstanceAttribution, Provenance } from "./results";

export type { Preconditioner };

/** How gradients become features; two sets of features are comparable where these are equal. */
export interface FeatureSettings {
  /** Modules in the order in which a model stores them. */
  readonly modules: readonly string[];
  /** Rank of each side of a module's projection; 0: the exact gradient. A side shorter than the rank stays whole. */
  readonly rank: number;
  readonly projection: Projection;
  /** Inputs and outputs of a module that "factoredSparse" keeps; 0 with the other projections. */
  readonly mask: number;
  /** Fingerprint of the principal directions ("pca"), else "". */
  readonly basis: string;
  readonly seed: number;
  readonly reduction: "sum" | "mean";
}

/**
 * A module's part of every row: row-major [output side, input side], of a whole side with a bias the bias last (an embedding's sides are
 * rows and features of its table); a norm's weight, then its bias, or at most rank² values of them; or rank² values of a sparse
 * projection. A dense projection has one part for all modules, "*".
 */
export interface FeatureSegment {
  readonly module: string;
  readonly begin: number;
  readonly size: number;
}

export interface StoreShard {
  /** Name within the store's directory. */
  readonly file: string;
  readonly rows: number;
  /** Of the whole file, hexadecimal. */
  readonly sha256: string;
}

/**
 * Gradient features of a training set on disk, [row, width]; row i is the gradient of training instance i. Plain data: holds no
 * file open and needs no model.
 */
export interface GradientStore {
  readonly kind: "gradientStore";
  readonly directory: string;
  readonly rows: number;
  readonly width: number;
  readonly segments: readonly FeatureSegment[];
  readonly trainIds: readonly string[];
  readonly settings: FeatureSettings;
  readonly precision: RowType;
  readonly shards: readonly StoreShard[];
  /** Of all files, in bytes. */
  readonly bytes: number;
  readonly modelHash: string;
  readonly dtype: ComputeType;
  /** Of the training instances; of a store that was appended to, its parts' hashes with "+" between. */
  readonly dataHash: string;
  readonly versions: { readonly attribution: string; readonly libtorch: string };
}

/** Features of queries, made with a store's settings. */
export interface QueryFeatures {
  readonly kind: "queryFeatures";
  /** What a row is: a query, or a token of one; the rows of its tokens sum to a query's. */
  readonly per: "query" | "token";
  /** [query, width], or all queries' tokens one after the other [token, width] */
  readonly features: Float32Array;
  /** [query] (or [token], its query's) the losses whose gradients they are. */
  readonly losses: Float32Array;
  /** Rows. */
  readonly queries: number;
  readonly width: number;
  /** [row]; of a token its query's with the token's place, "id:0", "id:1", … */
  readonly queryIds: readonly string[];
  readonly settings: FeatureSettings;
  readonly modelHash: string;
  readonly dtype: ComputeType;
  readonly dataHash: string;
  /** Where the gradients are of minus a quantity and not of the loss. */
  readonly of?: Quantity;
}

/** The best training instances of each query, best first, ties by index. */
export interface TopInstances {
  readonly kind: "topInstances";
  /** [query, k] rows of the store. */
  readonly indices: Int32Array;
  /** [query, k] */
  readonly scores: Float32Array;
  readonly queries: number;
  /** Entries per query: those asked for, at most the store's rows. */
  readonly k: number;
  readonly train: number;
  readonly queryIds: readonly string[];
  readonly trainIds: readonly string[];
  readonly unit: string;
  readonly provenance: Provenance;
}

/** Scores of training instances: all of them, or the best of each query. */
export type InstanceScores = InstanceAttribution | TopInstances;

/** Scores [train] of each training instance with itself. */
export interface SelfInfluence {
  readonly kind: "selfInfluence";
  readonly scores: Float32Array;
  readonly train: number;
  readonly trainIds: readonly string[];
  readonly unit: string;
  readonly provenance: Provenance;
}

/** EK-FAC's factors of a training set on disk. Plain data: holds no file open and needs no model. */
export interface EkfacFactors {
  readonly kind: "ekfacFactors";
  readonly directory: string;
  /** Linear modules in the order of the forward. */
  readonly modules: readonly string[];
  readonly reduction: "sum" | "mean";
  /** Labels drawn from the model, or the instances' own. */
  readonly fisher: "sampled" | "empirical";
  /** Of the labels that were drawn from the model. */
  readonly seed: number;
  /** Of the factors. */
  readonly bytes: number;
  readonly modelHash: string;
  readonly dtype: ComputeType;
  readonly dataHash: string;
  readonly versions: { readonly attribution: string; readonly libtorch: string };
}

/** What a store will cost. */
export interface StorePlan {
  readonly rows: number;
  readonly width: number;
  readonly tokens: number;
  /** Of all files. */
  readonly bytesOnDisk: number;
  readonly bytesFree: number;
  /** What the process takes beside the loaded model, at its peak: measured on the longest instances. */
  readonly peakMemoryBytes: number;
  readonly seconds: number;
  readonly tokensPerSecond: number;
}
