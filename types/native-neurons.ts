// Neuron attribution on the addon's side.
import type { Architecture, ComputeType } from "./architecture";
import type { NativeBudget, NativeControl, NativeInstances, NativeModel, NativeSite } from "./native-call";

/** Class per instance whose F is attributed, see types/results. */
export interface NativeTarget {
  readonly of: "probability" | "logProbability" | "logit";
  readonly labels: "predicted" | "gold" | Int32Array;
  /** F becomes F(labels) − F(contrast). */
  readonly contrast?: Int32Array;
}

export interface NativeNeuronParams extends NativeBudget {
  readonly method:
    | "integratedGradients"
    | "activation"
    | "gradient"
    | "gradientTimesActivation"
    | "conductance"
    | "logProbabilityIncrease"
    | "valueNorm"
    | "ablation";
  readonly site: NativeSite;
  readonly layers: Int32Array;
  readonly target: NativeTarget;
  /** Integrated gradients: where on the path from baseline to value, and with which weight. */
  readonly nodes: Float64Array;
  readonly weights: Float64Array;
  /** A path is bisected while its gap is above this share of F, or a unit may be wrong by more than this share of the layer's largest score; 0: never. */
  readonly completeness: number;
  /** [layer, unit or feature] in the order of `layers`; empty is zero. */
  readonly baseline: Float32Array;
  /** The readout position, every position of the target's row together, or chosen ones: of instance i chosen[chosenOffsets[i] … chosenOffsets[i + 1]). */
  readonly positions: "readout" | "all" | "chosen";
  readonly chosenOffsets: Int32Array;
  readonly chosen: Int32Array;
  /** Run the plain procedure also where the prefix cache applies (reference). */
  readonly fullPath: boolean;
}

export interface NativeNeuronResult {
  /** [instance, layer, unit] */
  readonly scores: Float32Array;
  /** [instance] */
  readonly targetValues: Float64Array;
  readonly targetLabels: Int32Array;
  /** [instance, layer]; integrated gradients only. */
  readonly completenessGap: Float64Array;
  /** [instance, layer] what a unit may be wrong by, as a share of the layer's largest score; empty where paths are not bisected. */
  readonly unitErrors: Float64Array;
}

export interface NativeBatchShape {
  readonly instances: number;
  readonly rows: number;
  /** Tokens of the longest row. */ readonly longest: number;
}

/** `cache` stays for the whole batch; beside it the forward that fills it, then `variant` bytes for each changed row of all instances. */
export interface NativeNeuronMemory {
  readonly cache: number;
  readonly forward: number;
  readonly variant: number;
}

/** For each instance the same number of unit sets; set s of instance i is units[offsets[i·sets + s] … offsets[i·sets + s + 1]), a unit being layer · units + unit. */
export interface NativeUnitSets extends NativeBudget {
  /** With "both" a layer's neurons come before its heads. */
  readonly site: "neurons" | "heads" | "both";
  readonly change: "suppress" | "keepOnly" | "scale";
  /** With "scale". */
  readonly factor: number;
  readonly sets: number;
  readonly offsets: Int32Array;
  readonly units: Int32Array;
  /** What suppressed units become: [layer, feature]; empty is zero. */
  readonly neuronReplacement: Float32Array;
  readonly headReplacement: Float32Array;
  readonly target: NativeTarget;
  readonly fullPath: boolean;
}

export interface NativeUnitWrites {
  readonly site: "neurons" | "heads";
  /** [entry] */
  readonly layers: Int32Array;
  readonly units: Int32Array;
  /** [entry, features of a unit]: the unit's value; of a head its slice. */
  readonly values: Float32Array;
  /** [entry] a token whose rank is wanted. */
  readonly rankOf: Int32Array;
  readonly top: number;
}

/** Attribution patching by a rule of its own. */
export interface NativePatchingParams {
  readonly site: "neurons" | "heads" | "both";
  /** What of a head takes the counterfactual's value. */
  readonly part: "output" | "query" | "key" | "value";
  /** GradDrop: the mean over dropped layers of the absolute scores. */
  readonly dropLayers: boolean;
  readonly target: NativeTarget;
  readonly rule: "gradient" | "relp" | "gim";
  /** relp: attention patterns are constants of the backward. */
  readonly detachAttention: boolean;
  /** [layer, feature]; empty is zero. Without a meaning beside `counterfactual`. */
  readonly neuronBaseline: Float32Array;
  readonly headBaseline: Float32Array;
  /** Prompts whose values at their readout are the baseline, one for each instance. */
  readonly counterfactual?: NativeInstances;
  readonly batchTokens: number;
  readonly memoryBytes: number;
}

export interface NativePatchingResult {
  /** [instance, layer, unit] */
  readonly scores: Float32Array;
  readonly targetValues: Float64Array;
  readonly targetLabels: Int32Array;
}

/** Saliency of input tokens along the path of their embeddings. */
export interface NativeInputTokenParams {
  readonly target: NativeTarget;
  readonly nodes: Float64Array;
  readonly weights: Float64Array;
  /** Where the path starts: zero, or the mean of all tokens' embeddings. */
  readonly baseline: "zero" | "mean";
  readonly batchTokens: number;
}

export interface NativeInputTokenResult {
  /** [token of the data set] */
  readonly scores: Float64Array;
  /** [instance] */
  readonly targetValues: Float64Array;
  readonly targetLabels: Int32Array;
  readonly completenessGap: Float64Array;
}

export interface NativeUnitSetResult {
  /** [instance] the unchanged model's prediction. */
  readonly predictions: Int32Array;
  /** [instance] the class F speaks of, and F of the unchanged model. */
  readonly labels: Int32Array;
  readonly values: Float64Array;
  /** [instance, set] */
  readonly changedPredictions: Int32Array;
  /** [instance, set] F with the units changed. */
  readonly changedValues: Float64Array;
}

/** Jobs of neuron attribution. */
export interface NativeNeurons {
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
  /** What units' writes say of tokens through the final norm and the head: the best of them, and the rank (from 1) of an asked one. */
  unitTokens(
    model: NativeModel,
    p: NativeUnitWrites,
    c: NativeControl,
  ): Promise<{ ids: Int32Array; logits: Float32Array; ranks: Int32Array }>;
}
