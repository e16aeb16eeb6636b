// The manifest of a gradient store: what it was made with, its shards and, once it is finished, their fingerprints.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { stopIfAborted } from "../../pacing";
import { AttributionError } from "../../errors";
import { fileExists, makeFolder, namesIn } from "../../storage/files";
import { corrupt } from "../../storage/listing";
import { manifestFile, type ManifestKind, readSealed, writeSealed } from "../../storage/sealed-manifest";
import type { ShardPlace } from "./layout";
import type { StoreRequest } from "./options";

const kind: ManifestKind = {
  format: "attribution-gradient-store",
  schema: 1,
  field: "store",
  what: "gradient store",
  maker: "buildGradientStore",
};

/** Instances that came in one call: at first, or by appending. */
export interface StorePart {
  readonly dataHash: string;
  readonly rows: number;
  readonly idFile: string;
  readonly shards: readonly (ShardPlace & { /** "" until the part is finished. */ readonly sha256: string })[];
}

export interface StoreManifest extends StoreRequest {
  readonly versions: { readonly attribution: string; readonly libtorch: string };
  readonly parts: readonly StorePart[];
}

export const isFinished = ({ shards }: StorePart): boolean => shards.every(({ sha256 }) => sha256 !== "");

/** The manifest of a store, or undefined where none was begun. A folder with other things in it is refused. */
export async function findManifest(directory: string): Promise<StoreManifest | undefined> {
  if (await fileExists(join(directory, manifestFile))) return readManifest(directory);
  const names = await namesIn(directory);
  // What a build that was killed at its very beginning leaves behind is no obstacle.
  const foreign = names.find(
    (name) => !/^(manifest\.json|projections\.safetensors|ids-\d+\.safetensors)(\.partial-[0-9a-f]+)?$/.test(name),
  );
  if (foreign !== undefined)
    throw new AttributionError(
      "invalid",
      `${directory} holds other files ("${foreign}"). Choose a folder that is new, empty or holds a gradient store`,
    );
  await makeFolder(directory);
  return undefined;
}

export async function readManifest(directory: string): Promise<StoreManifest> {
  const store = (await readSealed(directory, kind)) as StoreManifest;
  const isListed =
    Array.isArray(store?.parts) && store.parts.length > 0 && (store.parts as readonly StorePart[]).every(namesItsOwn);
  if (!isListed) throw corrupt(join(directory, manifestFile), "its list of shards cannot be read");
  return store;
}

/** Only names that a store gives: nothing outside its folder is ever opened. */
function namesItsOwn({ idFile, shards }: StorePart): boolean {
  return /^ids-\d+\.safetensors$/.test(idFile) && shards.every(({ file }) => /^features-\d+\.safetensors$/.test(file));
}

export async function writeManifest(directory: string, store: StoreManifest): Promise<void> {
  await writeSealed(directory, kind, store);
}

/** SHA-256 of a file, hexadecimal. */
export async function hashOfFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    stopIfAborted(signal);
    hash.update(chunk as Buffer);
  }
  return hash.digest("hex");
}
