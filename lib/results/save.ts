// Writes a result as a folder: arrays.safetensors and manifest.json. A new folder is whole or absent; a replaced result is the old one
// until it is the new one. Hashing gives the event loop its turns; writing happens off it.
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { AttributionError, expected } from "../errors";
import { pathOf } from "../options";
import { fileExists, makeFolder, namesIn, readJsonObject, unwritable, writeBeside } from "../storage/files";
import { withLock } from "../storage/lock";
import { besideName, isPartial, publishFolder, removeAbandoned, syncFolder } from "../storage/partial";
import { writeSafetensors, type Tensor } from "../storage/tensors";
import { pack } from "./codec";
import { axesOf, faultyField, kindOf, shapeOf, sign, type StorableResult } from "./layout";
import {
  arraysFile,
  format,
  hashOf,
  isNextArrays,
  longestManifest,
  type Manifest,
  manifestFile,
  nextArraysFile,
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
  const packed = await packWhole(result);
  try {
    await makeFolder(dirname(target));
    await removeAbandoned(target);
    if (!(await writeNew(target, packed))) await replace(target, packed);
  } catch (cause) {
    throw unwritable(target, cause);
  }
}

/** Whether a folder holds nothing, a saved result, or what a call that was killed left of one. */
async function requireReplaceable(target: string): Promise<void> {
  const names = await namesIn(target);
  if (names.length === 0) return;
  const manifest = join(target, manifestFile);
  const found = (await fileExists(manifest))
    ? await readJsonObject(manifest, longestManifest).catch(() => undefined)
    : undefined;
  const isOnly = names.every(
    (name) => name === manifestFile || name === arraysFile || isNextArrays(name) || isPartial(name),
  );
  if (found?.["format"] !== format || !isOnly)
    throw new AttributionError(
      "invalid",
      `${target} holds other files. Choose a folder that is new, empty or holds a saved result`,
    );
}

interface Packed {
  readonly manifest: Manifest;
  readonly tensors: Readonly<Record<string, Tensor>>;
}

async function packWhole(result: StorableResult): Promise<Packed> {
  const { json, arrays } = await pack(result);
  const tensors: Record<string, Tensor> = {};
  const stored: Record<string, StoredArray> = {};
  for (const [name, data] of Object.entries(arrays)) {
    const shape = shapeOf(result, name, data.length);
    tensors[name] = { data, shape };
    stored[name] = { shape, sha256: await hashOf(data) };
  }
  const kind = kindOf(result);
  return {
    manifest: sealed({ format, schema, kind, sign, axes: axesOf(kind), arrays: stored, result: json }),
    tensors,
  };
}

function writeArrays(path: string, { manifest, tensors }: Packed): Promise<void> {
  return writeSafetensors(path, tensors, { kind: manifest.kind, manifest: manifest.sha256 });
}

function writeManifest(folder: string, { manifest }: Packed): Promise<void> {
  return writeBeside(join(folder, manifestFile), [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)]);
}

/** A new folder is made beside its name and renamed. False where the name is taken, by a folder that is not empty. */
async function writeNew(target: string, packed: Packed): Promise<boolean> {
  if ((await namesIn(target)).length > 0) return false;
  const partial = besideName(target);
  try {
    await mkdir(partial);
    await writeArrays(join(partial, arraysFile), packed);
    await writeManifest(partial, packed);
    await publishFolder(partial, target);
    return true;
  } catch (cause) {
    await rm(partial, { recursive: true, force: true });
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOTEMPTY" || code === "EEXIST") return false;
    throw cause;
  }
}

/**
 * Replaces a saved result, one that can be loaded at every moment: the new arrays come to lie beside the old ones, then the manifest is
 * replaced by one rename, then the arrays take their usual name. `load` finds them under both.
 */
function replace(target: string, packed: Packed): Promise<void> {
  return withLock(target, "a result", async () => {
    await requireReplaceable(target);
    await settle(target);
    await writeArrays(join(target, nextArraysFile(packed.manifest)), packed);
    await writeManifest(target, packed);
    await settle(target);
  });
}

/** Ends a replacement that reached its manifest, and removes the arrays of one that did not. */
async function settle(target: string): Promise<void> {
  const manifest = await readJsonObject(join(target, manifestFile), longestManifest);
  const current = nextArraysFile({ sha256: String(manifest["sha256"]) });
  for (const name of await namesIn(target)) {
    if (name === current) await rename(join(target, name), join(target, arraysFile));
    else if (isNextArrays(name)) await rm(join(target, name), { force: true });
  }
  await syncFolder(target);
}
