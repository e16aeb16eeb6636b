// Instances must be made for the head of the model that takes them; the native core checks ids, lengths and labels.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { requireSome, requireTargets } from "../data/require-instances";
import { AttributionError } from "../errors";
import { handleOf } from "./model";

/** Refuses what is no open Model, what is no Instances, and instances made for another head. */
export function checkFit(model: Model, instances: Instances, name: string): void {
  handleOf(model);
  requireSome(instances, name);
  const { kind } = model.architecture.head;
  if (instances.kind !== kind) {
    throw new AttributionError(
      "mismatch",
      `Expected "${name}" for a ${kind} head but received instances of kind "${instances.kind}"`,
    );
  }
}

/** The same for calls that take a loss: each instance must have something to predict. */
export function checkLosses(model: Model, instances: Instances, name: string): void {
  checkFit(model, instances, name);
  requireTargets(instances, name);
}
