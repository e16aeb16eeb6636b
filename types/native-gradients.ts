// Instance attribution on the addon's side: gradients, inverses, and scores taken apart.
import type { WeightSource } from "./architecture";
import type { NativeBatching, NativeBudget, NativeControl, NativeInstances, NativeModel } from "./native-call";
import type { NativeJoint, NativeJointRequest } from "./native-joint";
import type { NativeQuantity } from "./quantity";

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

export interface NativeInfluenceResult {
  /** [query, train] */
  readonly scores: Float32Array;
  readonly iterations: number;
  readonly residual: number;
  /** arnoldi: of the pairs kept; else empty. */
  readonly eigenvalues: Float64Array;
}

/** Entry i pairs source sources[i] with target targets[i]; a part for each module, each token of the target, or each token of the source. */
export interface NativeParts {
  readonly sources: Int32Array;
  readonly targets: Int32Array;
  readonly parts: "modules" | "tokens" | "vectorTokens";
}

/** Jobs of instance attribution. */
export interface NativeGradients {
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
  /** Makes a safetensors file of EK-FAC's factors at `path`; see NativeInfluenceParams.factors. Of the model's type, bfloat16 as float. */
  fitEkfac(
    model: NativeModel,
    train: NativeInstances,
    p: NativeFeatureParams & { seed: number; fisher: "sampled" | "empirical"; path: string },
    c: NativeControl,
  ): Promise<void>;
}
