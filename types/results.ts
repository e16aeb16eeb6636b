import type { ModelSource } from "./model";
import type { AddedIds } from "./data";
import type { ComputeType } from "./architecture";

/** How a result came about; enough to make it again. */
export interface Provenance {
  readonly method: string;
  /** The options as resolved, defaults filled in. JSON-serialisable. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Fingerprint of the weights and the architecture. */
  readonly modelHash: string;
  /** The hub id and the commit of the model, where it was loaded by its id. */
  readonly modelSource?: ModelSource;
  /** Hashes of the instances by role: `instances`, or `train` and `queries`. */
  readonly dataHashes: Readonly<Record<string, string>>;
  /** The start and end tokens (ids) that `encode` has put around the inputs, by role. */
  readonly addedTokens?: Readonly<Record<string, AddedIds>>;
  readonly versions: { readonly attribution: string; readonly libtorch: string };
  readonly dtype: ComputeType;
}

/** Scores [query, train], row-major. Positive: training on that instance lowers the query's loss (a proponent). */
export interface InstanceAttribution {
  readonly kind: "instances";
  readonly scores: Float32Array;
  readonly queries: number;
  readonly train: number;
  readonly queryIds: readonly string[];
  readonly trainIds: readonly string[];
  /** What a score of 1 means, in words. */
  readonly unit: string;
  readonly provenance: Provenance;
}

/** One score and its parts. */
export interface ScoreParts {
  /** Indices of the pair's query and training instance, and their ids. */
  readonly query: number;
  readonly train: number;
  readonly queryId: string;
  readonly trainId: string;
  /** The sum of the parts. */
  readonly score: number;
  /** [module] in the order of `modules`, or [token] in the order of the instance. */
  readonly parts: Float64Array;
  /** [token] ids, for `model.tokenizer.tokenTexts`; empty by module. */
  readonly tokens: Int32Array;
}

/** Scores of pairs of a query and a training instance, each split into parts that sum to it; see `breakdown`. */
export interface Breakdown {
  readonly kind: "breakdown";
  /** What a part belongs to: a module, or a token of the training instance or of the query. */
  readonly by: "module" | "trainToken" | "queryToken";
  /** Names in the order of the parts; empty by token. */
  readonly modules: readonly string[];
  readonly pairs: readonly ScoreParts[];
  readonly unit: string;
  readonly provenance: Provenance;
}

/**
 * Scores of pairs of a query and a training instance, split by the units whose own weights they belong to; see `jointAttribution`.
 * `marginal` sums it to an InstanceAttribution or a NeuronAttribution; `top` lists the units of a pair.
 */
export interface JointAttribution {
  readonly kind: "joint";
  readonly queries: number;
  readonly train: number;
  readonly queryIds: readonly string[];
  readonly trainIds: readonly string[];
  readonly layers: number;
  /** Units of a layer; of "both" first `neurons` neurons, then heads. */
  readonly units: number;
  readonly neurons: number;
  readonly site: Site;
  /** Pairs, and the units kept of each. */
  readonly pairs: number;
  readonly k: number;
  /** [pair] indices of its query and training instance. */
  readonly queryIndices: Int32Array;
  readonly trainIndices: Int32Array;
  /** [pair] the instance score: the sum of all units' parts and the rest. */
  readonly scores: Float64Array;
  /** [pair, k] units as layer · units + unit with their parts, largest magnitude first, ties by index. */
  readonly indices: Int32Array;
  readonly parts: Float64Array;
  /** [pair] the sum over the units that are not kept; what belongs to no unit (biases of the outputs, norms, embeddings, the head). Empty with sums only. */
  readonly others: Float64Array;
  readonly rest: Float64Array;
  /** [query, layer, unit], [query] the same summed over the query's pairs. */
  readonly unitSums: Float64Array;
  readonly restSums: Float64Array;
  readonly unit: string;
  readonly provenance: Provenance;
}

/**
 * The two places where a model has units: MLP neurons (inputs of the MLP's output projection) and attention heads (slices of the
 * input of the attention's). "both" ranks them together: a layer's units are its neurons, then its heads.
 */
export type Site = "neurons" | "heads" | "both";

/** Scores [instance, layer, unit], row-major. Positive: the unit raises the target. */
export interface NeuronAttribution {
  readonly kind: "neurons";
  readonly scores: Float32Array;
  readonly instances: number;
  readonly layers: number;
  /** Units of a layer. */
  readonly units: number;
  readonly site: Site;
  readonly instanceIds: readonly string[];
  /** F(w) of each instance; NaN where the method has none. */
  readonly targetValues: Float64Array;
  /** The class, choice or token each score speaks of; −1 where the method has none. */
  readonly targetLabels: Int32Array;
  /**
   * Integrated gradients only, else empty: per [instance, layer] the completeness gap, the sum of the layer's scores minus
   * (F(w) − F(baseline)). Completeness holds per layer, not over layers.
   */
  readonly completenessGap: Float64Array;
  /**
   * Integrated gradients with `completeness` only: per [instance, layer] what any single unit may be wrong by, as a share of the
   * layer's largest score; an estimate from the quadrature's own nodes. Above `completeness` where the path took all pieces that it may.
   */
  readonly unitErrors?: Float64Array;
  readonly unit: string;
  readonly provenance: Provenance;
}

/** Scores of the tokens of each instance; see `inputTokens`. */
export interface InputTokens {
  readonly kind: "inputTokens";
  /** Scores in the order of the instances' tokens: those of instance i are scores[offsets[i] … offsets[i + 1]). */
  readonly scores: Float64Array;
  /** The tokens' ids, for `model.tokenizer.tokenTexts`. */
  readonly tokens: Int32Array;
  /** [instance + 1] */
  readonly offsets: Int32Array;
  readonly instances: number;
  readonly instanceIds: readonly string[];
  /** [instance] F of the instance as it is. */
  readonly targetValues: Float64Array;
  /** [instance] the class, choice or token that F speaks of. */
  readonly targetLabels: Int32Array;
  /** [instance] the sum of the instance's scores minus (F − F at the baseline). */
  readonly completenessGap: Float64Array;
  readonly unit: string;
  readonly provenance: Provenance;
}

export type Attribution = InstanceAttribution | NeuronAttribution;

/**
 * Neuron scores of any number of instances in a folder, written by `integratedGradientsTo`; rows are read when asked for
 * (`readNeuronRow`, `readNeuronScores`).
 */
export interface NeuronScores {
  readonly kind: "neuronScores";
  readonly directory: string;
  readonly instances: number;
  readonly layers: number;
  readonly units: number;
  readonly site: Site;
  /** What of each row is stored. */
  readonly select: { readonly keep: "all" } | { readonly topK: number } | { readonly fractionOfMaximum: number };
  readonly unit: string;
  /** Files, in the order of their instances. */
  readonly blocks: readonly { readonly file: string; readonly instances: number; readonly sha256: string }[];
  readonly provenance: Provenance;
}

/** One instance of a `NeuronScores`: the selected units as layer · units + unit with their scores, best first; all units in their order. */
export interface NeuronRow {
  readonly id: string;
  readonly indices: Int32Array;
  readonly scores: Float32Array;
  readonly targetValue: number;
  readonly targetLabel: number;
  /** [layer]; empty where the method has none. */
  readonly completenessGap: Float64Array;
}

/** Bytes beside the model; see `estimateNeuronMemory`. */
export interface NeuronMemory {
  /** Kept while an instance is worked on: keys, values and readout states, paths and scores. */
  readonly cache: number;
  /** The forward that fills the cache (or, where whole forwards are differentiated, what those keep). */
  readonly forward: number;
  /** One changed row. */
  readonly row: number;
  /** The smallest budget that works: cache and the larger of the two others. */
  readonly least: number;
  readonly fits: boolean;
  /** Changed rows of this instance that the budget holds at a time. */
  readonly rowsAtOnce: number;
  /** The result's scores, on top. */
  readonly result: number;
}

/** One entry of a ranking. `index` counts train instances, or units as layer · units + unit. */
export interface Ranked {
  readonly index: number;
  readonly score: number;
}
export interface RankedInstance extends Ranked {
  readonly id: string;
}
export interface RankedNeuron extends Ranked {
  readonly layer: number;
  readonly unit: number;
}

/** A unit of a pair of a joint attribution; `score` is its part. */
export interface RankedPart extends RankedNeuron {
  readonly site: Site;
}

/** A unit that several phrasings share. */
export interface RefinedNeuron extends RankedNeuron {
  readonly site: Site;
  /** Share of the phrasings that select it; its score is the mean over all of them. */
  readonly share: number;
}

/** Where a unit is. `top` and `refineNeurons` give such places; without `site` the call's own option says what the unit is. */
export interface UnitPlace {
  readonly layer: number;
  readonly unit: number;
  readonly site?: Site;
}

/** What the model says of each instance: its prediction, and F of the class that the target names. */
export interface TargetState {
  readonly predictions: Int32Array;
  readonly targetValues: Float64Array;
}

/** The model's answers before and after an intervention; both F speak of the same class, `targetLabels` [instance]. */
export interface Intervention {
  readonly targetLabels: Int32Array;
  readonly before: TargetState;
  readonly after: TargetState;
  readonly provenance: Provenance;
}

/** Token ids that a model goes on with, as it is and with units changed. */
export interface Continuation {
  readonly before: Int32Array;
  readonly after: Int32Array;
}

/** Shapley values [instance, unit] of chosen units, in the order in which they were given. */
export interface ShapleyValues {
  readonly values: Float64Array;
  /** [instance, unit] of the sampled means; 0 where exact. */
  readonly standardErrors: Float64Array;
  /** [instance, unit] as layer · units of a layer + unit. */
  readonly units: Int32Array;
  readonly instances: number;
  readonly players: number;
  readonly site: Site;
  /** [instance] F with all units, and with none of the chosen ones; the values sum to their difference. */
  readonly all: Float64Array;
  readonly none: Float64Array;
  readonly targetLabels: Int32Array;
  /** Coalitions evaluated per instance. */
  readonly evaluations: number;
  readonly unit: string;
  readonly provenance: Provenance;
}

/** One point of a deletion or insertion curve. */
export interface NeuronCurvePoint {
  /** Share of the site's units that were removed (deletion) or are there (insertion), and how many that are. */
  readonly fraction: number;
  readonly units: number;
  /** F in the attribution's order, and in random order. */
  readonly value: Estimate;
  readonly randomValue: Estimate;
  /** Share of instances whose prediction differs from the unchanged model's. */
  readonly changedPredictions: Estimate;
  readonly randomChangedPredictions: Estimate;
}

/** Deletion: a small area is faithful. Insertion: a large one. */
export interface NeuronCurve {
  readonly test: "deletion" | "insertion";
  readonly site: Site;
  readonly points: readonly NeuronCurvePoint[];
  /** Area under F over the fraction, by trapezoids, over the curve's span; beside it that of random orders. */
  readonly area: Estimate;
  readonly randomArea: Estimate;
  /** Area minus the random one of the same instance. */
  readonly difference: Estimate;
  readonly unit: string;
  readonly provenance: Provenance;
}

/** A mean with a bootstrap interval. */
export interface Estimate {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/** One point of a faithfulness curve: r units changed (or kept) in every instance. */
export interface FaithfulnessPoint {
  readonly r: number;
  /** Change of the probability of the originally predicted class: intervened minus original. */
  readonly probabilityChange: Estimate;
  /** Share of instances whose prediction changed. */
  readonly changedPredictions: Estimate;
  readonly randomProbabilityChange: Estimate;
  readonly randomChangedPredictions: Estimate;
}

export interface NeuronFaithfulness {
  readonly test: "sufficiency" | "comprehensiveness";
  readonly site: Site;
  readonly points: readonly FaithfulnessPoint[];
  /** Area over the perturbation curve: the mean of probabilityChange over the points; beside it the random control's. */
  readonly aopc: number;
  readonly randomAopc: number;
  readonly provenance: Provenance;
}
