// What the stages work on: a tuned model, the claims it was tuned on, the queries asked of it, and how it was tuned.
import type { Evaluation } from "../../model/evaluate";
import type { FineTuned, FineTuneOptions } from "../../model/fine-tune";
import type { InfluenceOptions } from "../../instance/influence";
import type { Parameters } from "../../instance/gradients/parameters";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { Claim, ClaimData, Truth } from "./claims";

export interface Subject {
  /** E.g. "a decoder trained from scratch". */
  readonly name: string;
  readonly data: ClaimData;
  /** The model before tuning; the fine-tuning test starts from it. */
  readonly base: Model;
  readonly model: Model;
  /** Of the tuning; undefined where the model was taken as it is. */
  readonly history: Omit<FineTuned, "model"> | undefined;
  /** How `base` became `model`; the fine-tuning test does the same. */
  readonly tuning: Omit<FineTuneOptions, "seed" | "signal" | "onProgress" | "checkpoints" | "optimizerState">;
  readonly train: Instances;
  readonly heldOut: Instances;
  readonly heldOutEvaluation: Evaluation;
  readonly queries: Instances;
  readonly queryClaims: readonly Claim[];
  readonly queryEvaluation: Evaluation;
  /** Undefined where nobody knows which training claims state what the queries ask. */
  readonly truth: Truth | undefined;
  readonly recipe: Recipe;
}

/** What the stages do, and how much of it. */
export interface Recipe {
  /** Parameters of gradient similarity, and the words for them. */
  readonly gradients: { readonly parameters: Parameters; readonly words: string };
  /** The gradient store, and the words for its parameters. */
  readonly store: { readonly parameters: Parameters; readonly rank: number; readonly words: string };
  /** The first is the one that is aligned with neurons and tested. */
  readonly influences: readonly (InfluenceOptions & { readonly words: string })[];
  /** Nodes of the path integral over the training claims; queries get 20. */
  readonly trainNodes: number;
  /** Sizes r of the neuron tests. */
  readonly neuronSizes: readonly number[];
  readonly headSizes: readonly number[];
  /** Random draws beside each set. */
  readonly controls: number;
  /** Undefined leaves the fine-tuning test out. */
  readonly tuningTest: { readonly fractions: readonly number[]; readonly seeds: readonly number[] } | undefined;
  /** Queries shown in full. */
  readonly cards: number;
  readonly conflicts: number;
}
