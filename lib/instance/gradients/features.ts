// What the gradient methods share: their common options, and the result's frame.
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { NativeFeatureParams } from "../../../types/native";
import type { InstanceAttribution } from "../../../types/results";
import { libtorchVersion } from "../../native";
import { memoryOf, oneOf } from "../../options";
import { type BatchOptions, batchOptionNames, batchTokensOf } from "../../model/batching";
import { checkLosses } from "../../model/fit";
import { provenance } from "../../provenance";
import { defaultParameters, modulesOf, type Parameters } from "./parameters";

export interface FeatureOptions extends BatchOptions {
  /** Parameters θ whose gradients are compared. @default "mlp"; "adapter" where the model has one */
  readonly parameters?: Parameters;
  /** A causal LM's loss of an instance: summed over its target tokens, or their mean. @default "sum" */
  readonly reduction?: "sum" | "mean";
  /** What gradients may take at a time: bytes, or text such as "2 GB". @default "1 GB" */
  readonly memory?: number | string;
}

export const featureOptionNames = [...batchOptionNames, "parameters", "reduction", "memory"] as const;

export function featureParams(
  model: Model,
  options: Readonly<Record<string, unknown>>,
  parameters: Parameters = "mlp",
): NativeFeatureParams {
  return {
    batchTokens: batchTokensOf(options),
    modules: modulesOf(model.architecture, options["parameters"] ?? defaultParameters(model.architecture, parameters)),
    reduction: oneOf(options, "reduction", "sum", ["sum", "mean"]),
    memoryBytes: memoryOf(options, "1 GB"),
  };
}

export function checkPair(model: Model, train: Instances, queries: Instances): void {
  checkLosses(model, train, "train");
  checkLosses(model, queries, "queries");
}

export interface InstanceResult {
  readonly method: string;
  readonly model: Model;
  readonly train: Instances;
  readonly queries: Instances;
  readonly scores: Float32Array;
  readonly unit: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** An InstanceAttribution with its provenance. */
export function instanceAttribution({
  method,
  model,
  train,
  queries,
  scores,
  unit,
  options,
}: InstanceResult): InstanceAttribution {
  return Object.freeze({
    kind: "instances",
    scores,
    queries: queries.size,
    train: train.size,
    queryIds: queries.ids,
    trainIds: train.ids,
    unit,
    provenance: provenance({ method, options, model, data: { train, queries }, libtorch: libtorchVersion() }),
  });
}
