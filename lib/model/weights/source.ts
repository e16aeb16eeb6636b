// Where a model's files are: a directory, a GGUF file, or a hub id whose snapshot lies in the Hugging Face cache. Nothing is
// downloaded.
import { readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { AttributionError } from "../../errors";
import { refuseAdapter } from "./checkpoint";
import { directoryExists, fileExists, withFile } from "../../storage/files";

export interface FoundModel {
  readonly path: string;
  readonly form: "directory" | "gguf";
}

/** What `source` means; "missing" with what to do where there is nothing. */
export async function findModel(source: string): Promise<FoundModel> {
  const path = resolve(source);
  if (await directoryExists(path)) {
    if (await fileExists(join(path, "config.json"))) return { path, form: "directory" };
    await refuseAdapter(path);
    const gguf = (await readdir(path)).find((name) => name.toLowerCase().endsWith(".gguf"));
    const words =
      gguf === undefined
        ? "Expected a model directory with config.json and weights"
        : `Give the path of the GGUF file itself: ${join(path, gguf)}`;
    throw new AttributionError("missing", `${path} has no config.json. ${words}`);
  }
  if (await fileExists(path)) {
    if (await isGguf(path)) return { path, form: "gguf" };
    throw new AttributionError(
      "invalid",
      `Expected ${path} to be a GGUF file, or a directory with config.json and weights`,
    );
  }
  if (!/^[\w.-]+(\/[\w.-]+)?$/.test(source) || source.startsWith("."))
    throw new AttributionError("missing", `No directory or file ${path}`);
  const snapshot = await findSnapshot(source);
  if (snapshot !== undefined) return { path: snapshot, form: "directory" };
  throw new AttributionError(
    "missing",
    `No directory ${path}, and "${source}" is not in the Hugging Face cache (${hubCache()}). ` +
      `Nothing is downloaded here: fetch it first, for example with \`hf download ${source}\`, or give the path of a directory or GGUF file`,
  );
}

/** By its first bytes, since caches store files under other names; one so named may be damaged and is refused by its reader. */
async function isGguf(path: string): Promise<boolean> {
  if (path.toLowerCase().endsWith(".gguf")) return true;
  return withFile(path, async (file) => file.size >= 4 && (await file.read(0, 4)).toString("latin1") === "GGUF");
}

/** As huggingface_hub finds it. */
function hubCache(): string {
  const { HF_HUB_CACHE: cache, HF_HOME: home, XDG_CACHE_HOME: caches } = process.env;
  if (cache !== undefined && cache !== "") return cache;
  if (home !== undefined && home !== "") return join(home, "hub");
  return join(caches !== undefined && caches !== "" ? caches : join(homedir(), ".cache"), "huggingface", "hub");
}

const longestRef = 1024; // bytes

/** The snapshot that `main` points to, else the only one there is. */
async function findSnapshot(id: string): Promise<string | undefined> {
  const root = join(hubCache(), `models--${id.replaceAll("/", "--")}`);
  const main = await withFile(join(root, "refs", "main"), ({ size, read }) => read(0, Math.min(size, longestRef))).then(
    (bytes) => bytes.toString("utf8"),
    () => "",
  );
  const snapshots = await readdir(join(root, "snapshots")).catch((): string[] => []);
  const commit = snapshots.includes(main.trim()) ? main.trim() : snapshots.length === 1 ? snapshots[0] : undefined;
  const directory = commit === undefined ? undefined : join(root, "snapshots", commit);
  return directory !== undefined && (await fileExists(join(directory, "config.json"))) ? directory : undefined;
}
