// Projections as the core takes them. Random ones come from a seed; principal directions come from the training instances, lie beside
// the store's shards, and the store's settings name their fingerprint.
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { CallOptions } from "../../../types/common";
import type { Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { NativeFeatureSettings } from "../../../types/native";
import type { FeatureSettings } from "../../../types/store";
import { handleOf } from "../../model/model";
import { native, runNative } from "../../native";
import { makeFolder } from "../../storage/files";
import { corrupt } from "../../storage/listing";
import { readTensors, writeSafetensors } from "../../storage/tensors";

export const basisFile = "projections.safetensors";

const none = new Float32Array(0);

/** Settings whose features have the same sizes and cost, without principal directions. */
export function seededSettings(settings: FeatureSettings): NativeFeatureSettings {
  return { ...settings, projection: settings.projection === "pca" ? "gaussian" : settings.projection, bases: none };
}

/** A store's settings with its principal directions, where it has some; refuses directions that are not those it was made with. */
export async function nativeSettings(directory: string, settings: FeatureSettings): Promise<NativeFeatureSettings> {
  if (settings.projection !== "pca") return { ...settings, bases: none };
  const path = join(directory, basisFile);
  const bases = (await readTensors(path)).tensors["directions"]?.data;
  if (!(bases instanceof Float32Array) || fingerprint(bases) !== settings.basis)
    throw corrupt(path, "its directions are not those that the store was made with");
  return { ...settings, bases };
}

/** Computes the principal directions of the training instances, if the projection takes them, and writes them into the folder. */
export async function withBasis(
  model: Model,
  train: Instances,
  directory: string,
  settings: FeatureSettings,
  batchTokens: number,
  { signal, onProgress }: CallOptions,
): Promise<FeatureSettings> {
  if (settings.projection !== "pca") return settings;
  const params = { settings: seededSettings(settings), batchTokens };
  const bases = await runNative((control) => native().principalDirections(handleOf(model), train, params, control), {
    signal,
    onProgress,
  });
  await makeFolder(directory);
  await writeSafetensors(join(directory, basisFile), { directions: { data: bases, shape: [bases.length] } });
  return Object.freeze({ ...settings, basis: fingerprint(bases) });
}

function fingerprint(values: Float32Array): string {
  return createHash("sha256")
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest("hex");
}
