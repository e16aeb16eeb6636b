// Gradient stores: the gradient features of a training set on disk, computed once and queried often, without the model.
import { join, resolve } from "node:path";
import type { Instances } from "../../types/data";
import type { ComputeType } from "../../types/architecture";
import type { Model } from "../../types/model";
import type { GradientStore } from "../../types/store";
import { stopIfAborted } from "../pacing";
import { AttributionError } from "../errors";
import type { BatchOptions } from "../model/batching";
import { checkLosses } from "../model/fit";
import { handleOf } from "../model/model";
import { libtorchVersion, native, runNative } from "../native";
import { oneOf, onlyKnown, pathOf } from "../options";
import { hashOfFile } from "../storage/file-hash";
import { withLock } from "../storage/lock";
import { libraryVersion } from "../provenance";
import { corrupt } from "../storage/listing";
import {
  checkShard,
  flagFile,
  nativeStore,
  prepareShards,
  readFlags,
  readIds,
  requireSpace,
  shardShape,
  shardsOf,
  writeIds,
} from "./store/layout";
import {
  findManifest,
  isFinished,
  readManifest,
  type StoreManifest,
  type StorePart,
  writeManifest,
} from "./store/manifest";
import { timedProgress } from "./store/progress";
import { nativeSettings, withBasis } from "./store/projection";
import {
  featureBytes,
  type GradientStoreOptions,
  requestOf,
  requireSame,
  storeOptionNames,
  type StoreRequest,
} from "./store/options";

/**
 * Writes the gradient features of every training instance into a folder: per linear module P_out (Σ_t g_t a_tᵀ) P_inᵀ with a_t the
 * module's inputs, g_t its output gradients and P random projections (LoGra, Choe et al. 2024), so that inner products of features
 * are those of gradients in expectation; or another `projection`. Embeddings and norms: see `rank`. Rows as in `train`; memory does not grow with their number. A call that was aborted or
 * killed at any moment goes on when it is made again; a finished store is verified byte for byte and returned, and the finished store is bit for bit that of an uninterrupted call with as
 * many threads. Another model, data or option set is refused ("mismatch"). Cost: one forward and backward per instance.
 * @example const store = await buildGradientStore(model, train, "stores/mnli", { rank: 16, onProgress: ({ secondsLeft }) => console.log(secondsLeft) });
 */
export async function buildGradientStore(
  model: Model,
  train: Instances,
  directory: string,
  options?: GradientStoreOptions,
): Promise<GradientStore> {
  const given = onlyKnown(options, storeOptionNames);
  checkLosses(model, train, "train");
  const folder = folderOf(directory);
  stopIfAborted(options?.signal);
  const request = requestOf(model, train, given);
  return withLock(folder, "a gradient store", async () => {
    const found = await findManifest(folder);
    if (found !== undefined) {
      requireSame(folder, found, request);
      if (found.parts.length !== 1 || found.parts[0].dataHash !== train.hash) throw otherData(folder, found, train);
      if (found.parts.every(isFinished))
        return openGradientStore(folder, { verify: "contents", signal: options?.signal });
    }
    const begun = found ?? {
      ...request,
      settings: await withBasis(model, train, folder, request.settings, request.batchTokens, options ?? {}),
      versions: { attribution: libraryVersion(), libtorch: libtorchVersion() },
      parts: [partOf(train, request, [])],
    };
    return finish(model, train, folder, begun, found === undefined, options);
  });
}

/**
 * Adds training instances to a store, made with its settings: their rows come after those that are there. Resumes as
 * buildGradientStore does; the store is the finished one again once the call has ended.
 * @example const larger = await appendToGradientStore(model, newRows, "stores/mnli");
 */
export async function appendToGradientStore(
  model: Model,
  train: Instances,
  directory: string,
  options?: BatchOptions,
): Promise<GradientStore> {
  const folder = folderOf(directory);
  const given = onlyKnown(options, ["signal", "onProgress", "batchTokens"]);
  checkLosses(model, train, "train");
  stopIfAborted(options?.signal);
  await readManifest(folder); // before a lock is made in a folder that is no store
  return withLock(folder, "a gradient store", () => append(model, train, folder, given, options));
}

async function append(
  model: Model,
  train: Instances,
  folder: string,
  given: Readonly<Record<string, unknown>>,
  options?: BatchOptions,
): Promise<GradientStore> {
  const found = await readManifest(folder);
  const { settings, precision, rowsPerShard, batchTokens } = found;
  requireSame(
    folder,
    found,
    requestOf(model, train, {
      ...settings,
      parameters: settings.modules,
      precision,
      rowsPerShard,
      batchTokens,
      ...given,
    }),
  );
  const last = found.parts[found.parts.length - 1];
  if (isFinished(last)) {
    const parts = [...found.parts, partOf(train, found, found.parts)];
    return finish(model, train, folder, { ...found, parts }, true, options);
  }
  if (found.parts.length === 1) throw unfinished(folder);
  if (last.dataHash !== train.hash) throw otherData(folder, found, train);
  return finish(model, train, folder, found, false, options);
}

/**
 * Opens a finished store. Checks its manifest, and that each shard has the size and header it must have; with `verify: "contents"`
 * also every byte against the fingerprints ("corrupt").
 * @example const store = await openGradientStore("stores/mnli"); // serves storeSimilarity and selfInfluence without the model
 */
export async function openGradientStore(
  directory: string,
  options?: {
    /** @default "structure" */
    readonly verify?: "structure" | "contents";
    readonly signal?: AbortSignal;
  },
): Promise<GradientStore> {
  const given = onlyKnown(options, ["verify", "signal"]);
  const verify = oneOf(given, "verify", "structure", ["structure", "contents"]);
  const folder = folderOf(directory);
  stopIfAborted(options?.signal);
  const manifest = await readManifest(folder);
  if (!manifest.parts.every(isFinished)) throw unfinished(folder);
  const ids: string[] = [];
  for (const { idFile, rows, shards } of manifest.parts) {
    for (const shard of shards) {
      await checkShard(folder, manifest, shard);
      if (verify === "contents" && (await hashOfFile(join(folder, shard.file), options?.signal)) !== shard.sha256)
        throw corrupt(
          join(folder, shard.file),
          "its contents are not what was written. Remove the store and build it again",
        );
    }
    for (const id of await readIds(join(folder, idFile), rows)) ids.push(id);
  }
  return storeOf(folder, manifest, ids);
}

function folderOf(directory: unknown): string {
  return resolve(pathOf("directory", "a folder's path", directory));
}

function partOf(train: Instances, { rowsPerShard }: StoreRequest, before: readonly StorePart[]): StorePart {
  const shards = shardsOf(
    train.size,
    rowsPerShard,
    before.reduce((sum, part) => sum + part.shards.length, 0),
  );
  return {
    dataHash: train.hash,
    rows: train.size,
    idFile: `ids-${before.length}.safetensors`,
    shards: shards.map((shard) => ({ ...shard, sha256: "" })),
  };
}

function otherData(folder: string, { parts }: StoreManifest, train: Instances): AttributionError {
  const was = parts.map(({ rows, dataHash }) => `${rows} rows with hash ${dataHash.slice(0, 12)}`).join(" and ");
  return new AttributionError(
    "mismatch",
    `The store in ${folder} is of other data (${was}), but this call has ${train.size} rows with hash ${train.hash.slice(0, 12)}. Choose another directory, or the same data`,
  );
}

function unfinished(folder: string): AttributionError {
  return new AttributionError(
    "missing",
    `The store in ${folder} is not finished: make the call that began it again, and it goes on`,
  );
}

/** Writes what is missing of the last part, then its fingerprints. */
async function finish(
  model: Model,
  train: Instances,
  folder: string,
  manifest: StoreManifest,
  isNew: boolean,
  options: BatchOptions = {},
): Promise<GradientStore> {
  const part = manifest.parts[manifest.parts.length - 1];
  const before = manifest.parts.slice(0, -1);
  if (manifest.versions.libtorch !== libtorchVersion()) {
    throw new AttributionError(
      "mismatch",
      `The unfinished store in ${folder} was begun with libtorch ${manifest.versions.libtorch}, but this is ${libtorchVersion()}. Go on with that one, or begin again in another directory`,
    );
  }
  const firstRow = before.reduce((sum, { rows }) => sum + rows, 0);
  const shards = manifest.parts.flatMap((each) => each.shards);
  const flags = await readFlags(folder, firstRow + part.rows);
  const missing = flags.subarray(firstRow).reduce((sum, flag) => sum + (flag === 1 ? 0 : 1), 0);
  await requireSpace(
    folder,
    missing * manifest.segments[manifest.segments.length - 1] * featureBytes[manifest.precision],
  );
  await writeIds(join(folder, part.idFile), train.ids);
  if (isNew) await writeManifest(folder, manifest);
  await prepareShards(folder, manifest, shards, flags);
  const params = {
    settings: await nativeSettings(folder, manifest.settings),
    store: nativeStore(folder, manifest, shards),
    firstRow,
    flagFile: join(folder, flagFile),
    batchTokens: manifest.batchTokens,
  };
  const onProgress = timedProgress(train, flags.subarray(firstRow), options.onProgress);
  await runNative((control) => native().buildStore(handleOf(model), train, params, control), {
    signal: options.signal,
    onProgress,
  });
  const hashed: StorePart["shards"][number][] = [];
  for (const shard of part.shards)
    hashed.push({ ...shard, sha256: await hashOfFile(join(folder, shard.file), options.signal) });
  await writeManifest(folder, { ...manifest, parts: [...before, { ...part, shards: hashed }] });
  return openGradientStore(folder);
}

function storeOf(directory: string, manifest: StoreManifest, trainIds: string[]): GradientStore {
  const { settings, precision, segments, parts, modelHash, dtype, versions } = manifest;
  const shards = parts.flatMap((part) => part.shards);
  return Object.freeze({
    kind: "gradientStore",
    directory,
    rows: trainIds.length,
    width: segments[segments.length - 1],
    segments: Object.freeze(
      (settings.projection === "dense" ? ["*"] : settings.modules).map((module, i) =>
        Object.freeze({ module, begin: segments[i], size: segments[i + 1] - segments[i] }),
      ),
    ),
    trainIds: Object.freeze(trainIds),
    settings: Object.freeze(settings),
    precision,
    shards: Object.freeze(shards),
    bytes: shards.reduce((sum, { rows }) => sum + shardShape(manifest, rows).bytes, trainIds.length),
    modelHash,
    dtype: dtype as ComputeType,
    versions: Object.freeze(versions),
    dataHash: parts.map(({ dataHash }) => dataHash).join("+"),
  });
}
