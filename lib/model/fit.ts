// Instances must be made for the head of the model that takes them; the native core checks ids, lengths and labels.
import type { Instances } from "../../types/data";
import type { Model } from "../../types/model";
import { AttributionError, expected } from "../errors";

/** Refuses what is no Instances and instances made for another head. */
export function checkFit(model: Model, instances: Instances, name: string): void {
  if (typeof instances !== "object" || instances === null || !(ArrayBuffer.isView(instances.tokens))) {
    throw expected(name, "Instances from encode or createInstances", instances);
  }
  const { kind } = model.architecture.head;
  if (instances.kind !== kind) {
    throw new AttributionError("mismatch", `Expected "${name}" for a ${kind} head but received instances of kind "${instances.kind}"`);
  }
  if (instances.size === 0) throw new AttributionError("invalid", `Expected "${name}" to hold at least one instance but received none`);
}
