// A test of an attribution on a model asks whether the attribution is of that model: units and gradients of another one of the same
// shape mean nothing there.
import type { Model } from "../../types/model";
import type { Attribution } from "../../types/results";
import { AttributionError } from "../errors";
import { oneOf } from "../options";
import { isSameModel } from "../provenance";

export interface SameModelOptions {
  /** Whether the attribution may be of another model, e.g. of the same weights in another type. @default "refuse" */
  readonly acrossModels?: "refuse" | "allow";
}

/** "mismatch" where another model made the attribution; what no model made (BM25, random) goes with any. */
export function requireModelOf(
  model: Model,
  { provenance: { method, modelHash } }: Attribution,
  given: Readonly<Record<string, unknown>>,
): void {
  if (oneOf(given, "acrossModels", "refuse", ["refuse", "allow"]) === "allow") return;
  if (isSameModel(modelHash, model.hash)) return;
  throw new AttributionError(
    "mismatch",
    `The attribution "${method}" is of another model (${modelHash.slice(0, 12)}, not ${model.hash.slice(0, 12)}). Attribute with this model, or set acrossModels: "allow"`,
  );
}
