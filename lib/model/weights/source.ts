// Where a model's files are: a directory, a GGUF file, or a hub id, whose files are in the cache or are fetched into it.
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { CallOptions } from "../../../types/common";
import { AttributionError } from "../../errors";
import { hubFileOf, isHubId } from "../../hub/repository";
import { directoryExists, fileExists, withFile } from "../../storage/files";
import { hasWeights } from "./checkpoint";
import { adapterFiles, findOnHub, type FoundModel } from "./hub-model";

/** What `source` means; "missing" with what to do where there is nothing. A path that exists is never looked for on the hub. */
export async function findModel(source: string, revision: string | undefined, call: CallOptions): Promise<FoundModel> {
  const found = await findPath(source);
  if (found !== undefined) {
    if (revision === undefined) return found;
    throw new AttributionError("invalid", `"revision" is for hub ids, but ${found.path} is a path. Leave it out`);
  }
  const inside = hubFileOf(source);
  if (inside !== undefined) return findOnHub(inside.id, inside.file, revision ?? "main", call);
  if (!isHubId(source))
    throw new AttributionError(
      "missing",
      `No directory or file ${resolve(source)}, and "${source}" is no hub id ("owner/name")`,
    );
  return findOnHub(source, undefined, revision ?? "main", call);
}

/** The directory, adapter or GGUF file at a path; undefined where nothing is there. */
async function findPath(source: string): Promise<FoundModel | undefined> {
  const path = resolve(source);
  if (await directoryExists(path)) {
    if (await isAdapter(path)) return { path, form: "adapter" };
    if (await fileExists(join(path, "config.json"))) return { path, form: "directory" };
    const gguf = (await readdir(path)).sort().find((name) => name.toLowerCase().endsWith(".gguf"));
    const words =
      gguf === undefined
        ? "Expected a model directory with config.json and weights"
        : `Give the path of the GGUF file itself: ${join(path, gguf)}`;
    throw new AttributionError("missing", `${path} has no config.json. ${words}`);
  }
  if (!(await fileExists(path))) return undefined;
  if (await isGguf(path)) return { path, form: "gguf" };
  throw new AttributionError(
    "invalid",
    `Expected ${path} to be a GGUF file, or a directory with config.json and weights`,
  );
}

/** Whether a folder holds an adapter, and no weights of a model. */
async function isAdapter(folder: string): Promise<boolean> {
  return (await fileExists(join(folder, adapterFiles[0]))) && !(await hasWeights(folder));
}

/** By its first bytes, since caches store files under other names; one so named may be damaged and is refused by its reader. */
async function isGguf(path: string): Promise<boolean> {
  if (path.toLowerCase().endsWith(".gguf")) return true;
  return withFile(path, async (file) => file.size >= 4 && (await file.read(0, 4)).toString("latin1") === "GGUF");
}
