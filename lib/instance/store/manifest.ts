// The manifest of a gradient store: what it was made with, its shards and, once it is finished, their fingerprints.
import { join } from "node:path";
import { AttributionError } from "../../errors";
import { fileExists, makeFolder, namesIn } from "../../storage/files";
import { corrupt } from "../../storage/listing";
import { manifestFile, type ManifestKind, readSealed, writeSealed } from "../../storage/sealed-manifest";
import type { ShardPlace } from "./layout";
import { faultyField } from "./manifest-check";
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
  const foreign = names.find((name) => !/^(manifest\.json|projections\.safetensors|ids-\d+\.safetensors)$/.test(name));
  if (foreign !== undefined)
    throw new AttributionError(
      "invalid",
      `${directory} holds other files ("${foreign}"). Choose a folder that is new, empty or holds a gradient store`,
    );
  await makeFolder(directory);
  return undefined;
}

export async function readManifest(directory: string): Promise<StoreManifest> {
  const store = await readSealed(directory, kind);
  const fault = faultyField(store);
  if (fault !== undefined) throw corrupt(join(directory, manifestFile), `its "${fault}" is none of a store`);
  return store as StoreManifest;
}

export async function writeManifest(directory: string, store: StoreManifest): Promise<void> {
  await writeSealed(directory, kind, store);
}
