// The manifest beside a result's arrays: what is stored, under which schema, with a SHA-256 of each array and of itself.
import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { AttributionError, shown } from "../errors";
import type { TensorData } from "../storage/tensors";

export const manifestFile = "manifest.json";
export const arraysFile = "arrays.safetensors";
/** Arrays that wait beside those of the result that they replace: named after their manifest. */
export const nextArraysFile = ({ sha256 }: Pick<Manifest, "sha256">): string =>
  `arrays-${sha256.slice(0, 16)}.safetensors`;
export const isNextArrays = (name: string): boolean => /^arrays-[0-9a-f]{16}\.safetensors$/.test(name);
/** Largest manifest that is read; ids and scores are not in it. */
export const longestManifest = 1 << 26;
export const format = "attribution-result";
/** Raised when an older library could misread what a newer one wrote. */
export const schema = 1;

export interface StoredArray {
  readonly shape: readonly number[];
  readonly sha256: string;
}

export interface Manifest {
  readonly format: typeof format;
  readonly schema: number;
  readonly kind: string;
  /** What a positive score means, in words. */
  readonly sign: string;
  /** Axes of each array by name, outermost first. */
  readonly axes: Readonly<Record<string, readonly string[]>>;
  readonly arrays: Readonly<Record<string, StoredArray>>;
  /** The result as codec.ts writes it: its unit and provenance (method, options, seed, hashes, versions) among the rest. */
  readonly result: unknown;
  /** SHA-256 of the fields above, hexadecimal. */
  readonly sha256: string;
}

/** Bytes hashed before the event loop gets its turn; about 4 ms. */
const hashedAtOnce = 1 << 20;

/** SHA-256 of an array's bytes, hexadecimal. */
export async function hashOf(data: TensorData): Promise<string> {
  const hash = createHash("sha256");
  const bytes = data.byteLength;
  for (let start = 0; start < bytes; start += hashedAtOnce) {
    if (data.byteLength !== bytes)
      throw new AttributionError("invalid", "An array of the result was given away while the result was saved");
    hash.update(new Uint8Array(data.buffer, data.byteOffset + start, Math.min(hashedAtOnce, data.byteLength - start)));
    await nextTurn();
  }
  return hash.digest("hex");
}

export function sealed(manifest: Omit<Manifest, "sha256">): Manifest {
  return { ...manifest, sha256: sealOf(manifest) };
}

function sealOf({ format: name, schema: version, kind, sign, axes, arrays, result }: Omit<Manifest, "sha256">): string {
  return createHash("sha256")
    .update(JSON.stringify([name, version, kind, sign, axes, arrays, result]))
    .digest("hex");
}

export function damaged(directory: string, words: string, cause?: unknown): AttributionError {
  return new AttributionError("corrupt", `The result in ${directory} is damaged: ${words}. Compute and save it again`, {
    cause,
  });
}

/** Checks a parsed manifest: ours, of a schema we know, unchanged since it was written. */
export function checkedManifest(directory: string, value: Readonly<Record<string, unknown>>): Manifest {
  if (value["format"] !== format) {
    throw new AttributionError(
      "invalid",
      `Expected ${directory} to hold a result that "save" wrote, but its ${manifestFile} has the format ${shown(value["format"])}`,
    );
  }
  if (value["schema"] !== schema) {
    throw new AttributionError(
      "unsupported",
      `The result in ${directory} has schema ${shown(value["schema"])}; this version reads schema ${schema}. Use the version of attribution that wrote it`,
    );
  }
  const manifest = value as unknown as Manifest;
  if (manifest.sha256 !== sealOf(manifest))
    throw damaged(directory, `${manifestFile} was changed after it was written`);
  const isArrays =
    typeof manifest.arrays === "object" &&
    manifest.arrays !== null &&
    Object.values(manifest.arrays).every((array) => typeof array?.sha256 === "string" && Array.isArray(array.shape));
  if (!isArrays) throw damaged(directory, "its list of arrays cannot be read");
  return manifest;
}
