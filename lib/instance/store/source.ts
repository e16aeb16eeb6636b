// The methods over gradient features take a store, or training instances: then a store is made for the time of the call.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { InstanceAttribution } from "../../../types/results";
import type { GradientStore, Preconditioner, TopInstances } from "../../../types/store";
import { AttributionError } from "../../errors";
import { batchOptionNames, type BatchOptions } from "../../model/batching";
import { onlyKnown } from "../../options";
import type { QuantityOptions } from "../quantity";
import { unwritable } from "../../storage/files";
import { buildGradientStore } from "../gradient-store";
import { methodOf } from "./preconditioners";
import { queryFeatures, type ScoreOptions, scoreOptionNames, storeSimilarity } from "./scores";
import { projectionOptionNames, type ProjectionOptions } from "./options";

/** Options of the features count where training instances are given; a store has its own. */
export interface ProjectedOptions extends ScoreOptions, ProjectionOptions, BatchOptions, QuantityOptions {}

export async function preconditioned(
  preconditioner: Preconditioner,
  model: Model,
  train: Instances | GradientStore,
  queries: Instances,
  options: ProjectedOptions = {},
): Promise<InstanceAttribution | TopInstances> {
  const given = onlyKnown(options, [...scoreOptionNames, ...projectionOptionNames, ...batchOptionNames, "of"]);
  const pick = (names: readonly string[]) =>
    Object.fromEntries(names.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]));
  const batching = pick(batchOptionNames);
  const score = async (store: GradientStore) => {
    const features = await queryFeatures(model, queries, store, { ...batching, of: options.of });
    const result = await storeSimilarity(store, features, { ...pick(scoreOptionNames), preconditioner });
    return Object.freeze({
      ...result,
      provenance: Object.freeze({ ...result.provenance, method: methodOf(preconditioner) }),
    });
  };
  if ((train as GradientStore | null)?.kind !== "gradientStore")
    return withTemporaryStore(model, train as Instances, { ...batching, ...pick(projectionOptionNames) }, score);
  const [own] = Object.keys(pick(projectionOptionNames));
  if (own !== undefined)
    throw new AttributionError(
      "invalid",
      `"${own}" is the store's: leave it out, or give training instances instead of a store`,
    );
  return score(train as GradientStore);
}

/** A store for the time of one call. */
export async function withTemporaryStore<T>(
  model: Model,
  train: Instances,
  options: ProjectionOptions & BatchOptions,
  use: (store: GradientStore) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "attribution-store-")).catch((cause: unknown) => {
    throw unwritable(tmpdir(), cause);
  });
  try {
    return await use(await buildGradientStore(model, train, directory, { ...options, precision: "float32" }));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
