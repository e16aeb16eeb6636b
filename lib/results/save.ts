// Writes a result as a folder: arrays.safetensors and manifest.json. Made beside the target and renamed, so that the folder is
// whole or absent. Hashing gives the event loop its turns; writing happens off it.
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { AttributionError, expected } from "../errors";
import { pathOf } from "../options";
import { besideName, fileExists, namesIn, readJsonObject, unwritable, writeBeside } from "../storage/files";
import { writeSafetensors, type Tensor } from "../storage/tensors";
import { pack } from "./codec";
import { axesOf, faultyField, kindOf, shapeOf, sign, type StorableResult } from "./layout";
import {
  arraysFile,
  format,
  hashOf,
  longestManifest,
  manifestFile,
  schema,
  sealed,
  type StoredArray,
} from "./manifest";

/**
 * Saves a result (an attribution, or any plain result with a provenance) into a folder of its own. A result that is already
 * there is replaced; a folder that holds anything else is refused ("invalid"). Large arrays are read while the call runs: do
 * not change them. Cost: one pass of SHA-256 over the arrays, then the disk.
 * @example await save(influences, "results/influence"); const again = await load("results/influence");
 */
export async function save(result: StorableResult, directory: string): Promise<void> {
  const target = resolve(pathOf("directory", "a folder's path", directory));
  if (typeof result !== "object" || result === null) throw expected("result", "a result with a provenance", result);
  const fault = faultyField(result as unknown as Record<string, unknown>);
  if (fault !== undefined)
    throw new AttributionError(
      "invalid",
      `Expected a whole result but its "${fault}" does not fit a result of kind "${kindOf(result)}"`,
    );
  await requireReplaceable(target);
  const partial = besideName(target);
  try {
    await mkdir(dirname(target), { recursive: true });
    await mkdir(partial);
    await writeInto(partial, result);
    await moveOver(partial, target);
  } catch (cause) {
    await rm(partial, { recursive: true, force: true });
    throw unwritable(target, cause);
  }
}

async function requireReplaceable(target: string): Promise<void> {
  const names = await namesIn(target);
  if (names.length === 0) return;
  const manifest = join(target, manifestFile);
  const found = (await fileExists(manifest))
    ? await readJsonObject(manifest, longestManifest).catch(() => undefined)
    : undefined;
  const isOnly = names.every((name) => name === manifestFile || name === arraysFile);
  if (found?.["format"] !== format || !isOnly)
    throw new AttributionError(
      "invalid",
      `${target} holds other files. Choose a folder that is new, empty or holds a saved result`,
    );
}

async function writeInto(folder: string, result: StorableResult): Promise<void> {
  const { json, arrays } = await pack(result);
  const tensors: Record<string, Tensor> = {};
  const stored: Record<string, StoredArray> = {};
  for (const [name, data] of Object.entries(arrays)) {
    const shape = shapeOf(result, name, data.length);
    tensors[name] = { data, shape };
    stored[name] = { shape, sha256: await hashOf(data) };
  }
  const kind = kindOf(result);
  const manifest = sealed({ format, schema, kind, sign, axes: axesOf(kind), arrays: stored, result: json });
  await writeSafetensors(join(folder, arraysFile), tensors, { kind, manifest: manifest.sha256 });
  await writeBeside(join(folder, manifestFile), [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)]);
}

/** Puts the new folder in the place of the old one; the old one is gone only after that. */
async function moveOver(partial: string, target: string): Promise<void> {
  const old = besideName(target);
  const replaced = await rename(target, old).then(
    () => true,
    () => false,
  );
  try {
    await rename(partial, target);
  } catch (cause) {
    if (replaced) await rename(old, target);
    throw cause;
  }
  if (replaced) await rm(old, { recursive: true, force: true });
}
