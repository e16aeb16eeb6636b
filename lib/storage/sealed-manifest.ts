// A folder's manifest.json: {format, schema, <name>, sha256}, sealed so that a change by another hand is seen.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { AttributionError, shown } from "../errors";
import { fileExists, readJsonObject, writeBeside } from "./files";
import { corrupt } from "./listing";

export const manifestFile = "manifest.json";
const longestManifest = 1 << 24;

export interface ManifestKind {
  readonly format: string;
  readonly schema: number;
  /** The field that holds the contents. */
  readonly field: string;
  /** In messages, e.g. "gradient store". */
  readonly what: string;
  /** The function that makes such a folder. */
  readonly maker: string;
}

/** The sealed contents; the caller checks what they hold. */
export async function readSealed(
  directory: string,
  { format, schema, field, what, maker }: ManifestKind,
): Promise<unknown> {
  const path = join(directory, manifestFile);
  if (!(await fileExists(path)))
    throw new AttributionError(
      "missing",
      `${directory} holds no ${what}: it has no ${manifestFile}. Make one with ${maker}`,
    );
  const value = await readJsonObject(path, longestManifest);
  if (value["format"] !== format)
    throw new AttributionError(
      "invalid",
      `Expected ${directory} to hold a ${what}, but its ${manifestFile} has the format ${shown(value["format"])}`,
    );
  if (value["schema"] !== schema)
    throw new AttributionError(
      "unsupported",
      `The ${what} in ${directory} has schema ${shown(value["schema"])}; this version reads schema ${schema}. Use the version of attribution that wrote it`,
    );
  if (value["sha256"] !== sealOf(value[field])) throw corrupt(path, "it was changed after it was written");
  return value[field];
}

export async function writeSealed(
  directory: string,
  { format, schema, field }: ManifestKind,
  contents: unknown,
): Promise<void> {
  const text = JSON.stringify({ format, schema, [field]: contents, sha256: sealOf(contents) }, null, 2);
  await writeBeside(join(directory, manifestFile), [Buffer.from(`${text}\n`)]);
}

function sealOf(contents: unknown): string {
  return createHash("sha256")
    .update(JSON.stringify(contents) ?? "")
    .digest("hex");
}
