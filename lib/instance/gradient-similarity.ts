// Gradient similarity: how alike the training gradients of a query and of a training instance are.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { InstanceAttribution } from "../../types/results";
import { AttributionError } from "../errors";
import { native, runNative } from "../native";
import { oneOf, onlyKnown } from "../options";
import { handleOf } from "../model/model";
import {
  checkPair,
  type FeatureOptions,
  featureOptionNames,
  featureParams,
  instanceAttribution,
} from "./gradients/features";
import type { Parameters } from "./gradients/parameters";
import { influenceParams } from "./influence";
import { ownScores } from "./own-weights";
import { type OwnOptions, ownOptionNames, quantityOptions } from "./quantity";

export interface GradientSimilarityOptions extends FeatureOptions, OwnOptions {
  /** Inner product, or its cosine (within −1–1; 0 where a gradient is 0). @default "dot" */
  readonly similarity?: "dot" | "cosine";
  /** The paper's recipe: inner product of the gold-label loss gradients, of the head's weight as in the released scripts. */
  readonly preset?: "paper";
}

/**
 * score(q, z) = ⟨∇θL(q), ∇θL(z)⟩ or its cosine, L the cross-entropy of the gold label or of the target tokens. Exact: nothing is
 * projected. Positive: a step on z lowers the loss of q (to first order by learning rate × score).
 * With `of` a quantity f stands for −L(q): a step on z raises f by learning rate × score.
 * Unit: nats² per parameter² of the loss (dot). Source: Pruthi et al. 2020 (TracIn), at one checkpoint.
 * Cost: one forward and backward per instance, and a product of all token pairs of queries and training instances.
 * @returns scores [query, train]
 * @example const ia = await gradientSimilarity(model, train, queries, { similarity: "cosine" });
 */
export async function gradientSimilarity(
  model: Model,
  train: Instances,
  queries: Instances,
  options?: GradientSimilarityOptions,
): Promise<InstanceAttribution> {
  const given = onlyKnown(options, [...featureOptionNames, ...ownOptionNames, "similarity", "preset"]);
  const paper = given["preset"] !== undefined && oneOf(given, "preset", "paper", ["paper"]) === "paper";
  checkPair(model, train, queries);
  const chosen: Parameters = paper ? "head" : "mlp";
  const params = {
    ...featureParams(model, given, chosen),
    similarity: oneOf(given, "similarity", "dot", ["dot", "cosine"]),
  };
  const { of, own, shown, unit } = quantityOptions(given, model, queries);
  const { modules, reduction, similarity } = params;
  if (own && similarity === "cosine")
    throw new AttributionError("unsupported", `The cosine is of whole gradients: theta: "own" has the inner product`);
  const scores = own
    ? await ownScores(model, train, queries, { ...(await identityParams(model, train, params)), of }, { ...options })
    : await runNative(
        (control) => native().gradientSimilarity(handleOf(model), train, queries, { ...params, of }, control),
        options,
      );
  return instanceAttribution({
    method: "gradientSimilarity",
    model,
    train,
    queries,
    scores,
    unit: unit ?? (similarity === "cosine" ? "cosine of loss gradients, −1–1" : "inner product of loss gradients"),
    options: { parameters: modules, reduction, similarity, preset: paper ? "paper" : null, ...shown },
  });
}

function identityParams(
  model: Model,
  train: Instances,
  { modules, reduction, batchTokens, memoryBytes }: ReturnType<typeof featureParams>,
) {
  return influenceParams(
    model,
    train,
    { inverse: "identity", parameters: modules, reduction, batchTokens, memory: memoryBytes },
    "identity",
  );
}
