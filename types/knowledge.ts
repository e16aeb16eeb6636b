// What tests of knowledge neurons find.
import type { Estimate, Provenance } from "./results";

/** See `knowledgeSymmetry`. Changes of the gold answer's log-probability, in nats. */
export interface KnowledgeSymmetry {
  readonly test: "knowledgeSymmetry";
  /** On the prompts; beside it by random units of the same layers. */
  readonly change: Estimate;
  readonly randomChange: Estimate;
  /** On their counterparts. */
  readonly counterpartChange: Estimate;
  readonly randomCounterpartChange: Estimate;
  /** Mean change of the counterparts over that of the prompts; NaN where the units change nothing. */
  readonly symmetry: Estimate;
  /** [prompt] */
  readonly perPrompt: Float64Array;
  readonly perCounterpart: Float64Array;
  readonly provenance: Provenance;
}

/** See `categoricalChange`. Shares of prompts. */
export interface CategoricalChange {
  readonly test: "categoricalChange";
  /** The most probable class is another. */
  readonly changed: Estimate;
  readonly randomChanged: Estimate;
  /** The gold answer is less probable, and the most probable class is the same. */
  readonly onlyProbability: Estimate;
  readonly randomOnlyProbability: Estimate;
  /** Prompts that were answered right before. */
  readonly answered: number;
  /** Share of these that still are; absent where there are none. */
  readonly stillAnswered?: Estimate;
  readonly randomStillAnswered?: Estimate;
  /** [prompt] most probable class before and after. */
  readonly predictions: Int32Array;
  readonly changedPredictions: Int32Array;
  readonly provenance: Provenance;
}
