// Whether an attribution's scores come apart, and whether the data are its own.
import type { Instances } from "../../../types/data";
import type { InstanceAttribution } from "../../../types/results";
import type { GradientStore, TopInstances } from "../../../types/store";
import { requireInstances } from "../../data/require-instances";
import { AttributionError, expected } from "../../errors";
import { requireInstanceScores } from "../../results/require";
import { requireStore } from "../store/scores";
import { checkpointMethods } from "./checkpoints";
import { exactMethods } from "./exact";
import { featureMethods } from "../store/preconditioners";
import { isStore } from "./request";

/** Refuses what is no sum of inner products of gradients, and a model where there must be checkpoints. */
export function requireSplittable(
  attribution: unknown,
  hasCheckpoints: boolean,
): asserts attribution is InstanceAttribution | TopInstances {
  requireInstanceScores(attribution, "attribution");
  const { provenance: made } = attribution;
  const ofModel = [...exactMethods, ...featureMethods];
  if (![...ofModel, ...checkpointMethods].includes(made.method))
    throw new AttributionError(
      "unsupported",
      `"${made.method}" is no sum of inner products of gradients: a breakdown is of ${[...ofModel, ...checkpointMethods].join(", ")}`,
    );
  if (ofModel.includes(made.method) === hasCheckpoints)
    throw expected(
      "model",
      hasCheckpoints ? `the one model of "${made.method}"` : `the list of checkpoints of "${made.method}"`,
      hasCheckpoints ? "a list" : "a model",
    );
}

/** Refuses a training set and queries other than the attribution's. */
export function requireOwnData(
  train: Instances | GradientStore | readonly GradientStore[],
  queries: Instances,
  { provenance: { method, dataHashes }, trainIds }: InstanceAttribution | TopInstances,
): void {
  const refuse = (what: string) =>
    new AttributionError("mismatch", `The attribution "${method}" is of ${what}: give those it was made with`);
  requireInstances(queries, "queries");
  if (dataHashes["queries"] !== queries.hash) throw refuse("other queries");
  if (isStore(train) || Array.isArray(train)) {
    const stores = [train].flat() as unknown[];
    stores.forEach(requireStore);
    if (stores.some((store) => (store as GradientStore).dataHash !== dataHashes["train"]))
      throw refuse("another training set");
    return;
  }
  requireInstances(train, "train");
  const { hash, size, ids } = train;
  // A store that was appended to has its parts' hashes.
  const isOwn = dataHashes["train"].includes("+")
    ? trainIds.length === size && trainIds.every((id, i) => id === ids[i])
    : dataHashes["train"] === hash;
  if (!isOwn) throw refuse("another training set");
}
