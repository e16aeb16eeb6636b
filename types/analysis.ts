import type { Estimate } from "./results";

/** How far two attributions choose the same instances or neurons. */
export interface Overlap {
  /** Entries of a row that count. */
  readonly k: number;
  /** [row] share of the chosen entries that both choose: shared over the larger choice; 0 where neither chooses. */
  readonly perRow: Float64Array;
  /** Mean of `perRow` with a bootstrap interval over rows. */
  readonly mean: Estimate;
  /** Share that two independent random choices of k would have: k over all entries. */
  readonly chance: number;
  /** The choices of all rows thrown together, each entry once. */
  readonly sets: SetOverlap;
}

export interface SetOverlap {
  readonly first: number;
  readonly second: number;
  readonly shared: number;
  /** shared / (first + second − shared); 0 where both are empty. */
  readonly jaccard: number;
}

/** How many different entries the rows choose. */
export interface DistinctCounts {
  readonly k: number;
  /** Choices over all rows. */
  readonly chosen: number;
  /** Different entries among them. */
  readonly distinct: number;
  /** distinct / chosen; 0 where nothing is chosen. Near 1 every row has its own. */
  readonly share: number;
}

/** Where in the network the chosen units lie. */
export interface LayerHistogram {
  readonly k: number;
  /** [layer] chosen units over all rows; a unit counts once per row that chooses it. */
  readonly counts: Float64Array;
  /** [layer] share of all choices; sums to 1 (or 0 where nothing is chosen). */
  readonly shares: Float64Array;
  /** [layer] different units among them. */
  readonly distinct: Float64Array;
}

/** How varied a set of instances is. */
export interface Diversity {
  readonly instances: number;
  readonly tokens: number;
  readonly distinctTokens: number;
  /** Tokens per instance; the choices of a listwise instance together. */
  readonly meanLength: number;
  /** NaN where no losses are given. */
  readonly meanLoss: number;
  /** Mean cosine of the readout states of two different instances, −1–1; low is diverse. NaN without states or with one instance. */
  readonly meanPairwiseCosine: number;
}

/** How well an instance attribution finds the training instances that state the facts asked for. */
export interface FactTracing {
  /** Queries with known truth; the others are left out. */
  readonly queries: number;
  readonly skipped: number;
  /** Share of a query's true instances among its top k, mean over queries; one entry per k asked for. */
  readonly recall: readonly { readonly k: number; readonly estimate: Estimate }[];
  /** Mean over queries of 1 / rank of the first true instance. */
  readonly meanReciprocalRank: Estimate;
  /** [query] 1 / rank of its first true instance; NaN where no truth is known. */
  readonly reciprocalRanks: Float64Array;
}

export interface Correlation {
  readonly pairs: number;
  /** NaN where one side does not vary. */
  readonly pearson: number;
  readonly spearman: number;
}

/** A query on which two instance attributions are compared. */
export interface Conflict {
  readonly query: number;
  readonly id: string;
  /** Spearman's correlation of the two rows over all training instances; NaN where a row does not vary. */
  readonly correlation: number;
  /** Share of the top k that both choose. */
  readonly overlap: number;
}

/** What models tuned on parts of the training set say of the queries. */
export interface SubsetOutputs {
  readonly subsets: number;
  readonly train: number;
  readonly queries: number;
  /** [subset, train] 1 where the subset's models were tuned on the instance. */
  readonly masks: Uint8Array;
  /** [subset, query] mean over seeds; the higher, the more the model is for the gold answer. */
  readonly values: Float64Array;
  readonly output: "logProbability" | "logOdds";
  readonly trainIds: readonly string[];
  readonly queryIds: readonly string[];
}

/** How well scores predict what models tuned on parts of the training set, or on all but one instance, say. */
export interface RankAgreement {
  /** [query] Spearman's correlation of predicted and measured; 0 where the scores do not vary, NaN where what is measured does not. */
  readonly perQuery: Float64Array;
  /** Over the queries whose measurement varies, with a bootstrap interval. */
  readonly mean: Estimate;
  readonly skipped: number;
}

/** How well scores find wrong labels. */
export interface MislabelDetection {
  readonly instances: number;
  readonly mislabelled: number;
  /** The chance that a mislabelled instance scores above a right one; 0.5 is chance. With a bootstrap interval over instances. */
  readonly auc: Estimate;
  /** Share of the mislabelled that are among the first so many of the ranking. */
  readonly found: readonly { readonly inspected: number; readonly share: number }[];
}

/** How far the scores of an instance attribution depend on the weights, and whether they tell queries apart. */
export interface Sanity {
  readonly k: number;
  /** [query] Spearman's correlation of the scores with those under re-drawn weights; NaN where one of them does not vary. */
  readonly perQuery: Float64Array;
  /** Mean over the queries whose scores vary, with a bootstrap interval. Near 0: the scores speak of the trained weights. */
  readonly correlation: Estimate;
  readonly skipped: number;
  /** Share of the top k in common with the one under re-drawn weights; beside it, k over all training instances. */
  readonly overlap: Estimate;
  readonly overlapChance: number;
  /** Different instances that fill the top k of all queries: a small share means one list for every query. */
  readonly distinct: DistinctCounts;
  readonly distinctRedrawn: DistinctCounts;
}

/** How far the chosen training instances are about what the query is about. */
export interface RelationCoverage {
  readonly k: number;
  /** [query] share of its choices with the query's relation; NaN where the query has none. */
  readonly perQuery: Float64Array;
  readonly share: Estimate;
  /** Mean over queries of the share of all training instances with the query's relation. */
  readonly chance: number;
  /** Share of queries with at least one such instance among their choices. */
  readonly covered: Estimate;
  /** Queries without a relation, or without choices. */
  readonly skipped: number;
}

/** How much of a row's scores, and of the prediction, its top list stands for. */
export interface ExplainedShare {
  readonly k: number;
  /** [row] Σ |score| of the k largest by size over Σ |score| of all; NaN where all are 0. */
  readonly ofScores: Float64Array;
  /**
   * [row] Σ of the k highest scores over the target's value F; of neuron scores in the unit of F only, else NaN. Small where a
   * saturated prediction has small scores: its top list explains nothing.
   */
  readonly ofPrediction: Float64Array;
  readonly meanOfScores: number;
  readonly meanOfPrediction: number;
}

/** Curves of several methods, averaged over the sizes that all of them have. */
export interface CurveComparison {
  readonly test: "sufficiency" | "comprehensiveness";
  /** The common sizes. */
  readonly r: readonly number[];
  readonly methods: readonly {
    readonly name: string;
    /** Mean of probabilityChange over the common sizes; beside it the random control's. */
    readonly mean: number;
    readonly randomMean: number;
    /** Sizes of this method that others lack. */
    readonly leftOut: readonly number[];
  }[];
}

/** Dampings tried, and the one that is best; see `tuneDamping`. Linear datamodeling scores. */
export interface DampingSweep {
  /** Smallest damping first: its score on the queries that choose, and on the others. */
  readonly points: readonly { readonly damping: number; readonly tuning: Estimate; readonly heldOut: Estimate }[];
  readonly best: number;
  /** Those of the best damping. */
  readonly tuning: Estimate;
  readonly heldOut: Estimate;
  readonly tuningQueries: readonly number[];
  readonly heldOutQueries: readonly number[];
}
