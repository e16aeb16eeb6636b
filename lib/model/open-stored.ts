// Opens a stored model: a directory in Hugging Face's form, or a GGUF file.
import { join } from "node:path";
import type { CallOptions } from "../../types/common";
import { openTokenizer } from "../data/tokenizer";
import { fileExists, readJsonObject } from "../storage/files";
import type { Tokenizer } from "../../types/data";
import { absentTokenizer } from "./absent-tokenizer";
import { openGguf } from "./gguf/open";
import { listCheckpoint } from "./weights/checkpoint";
import { mapWeights } from "./weights/checkpoint-weights";
import { findModel } from "./weights/source";
import type { StoredModel } from "./weights/stored-model";

/** What `source` means: a directory, a GGUF file, or a hub id. */
export async function openStored(
  source: string,
  revision: string | undefined,
  call: CallOptions,
): Promise<StoredModel> {
  const { path, form, hub } = await findModel(source, revision, call);
  const stored = await (form === "gguf" ? openGguf(path) : openDirectory(path));
  return hub === undefined ? stored : { ...stored, source: hub };
}

async function openDirectory(directory: string): Promise<StoredModel> {
  return {
    config: await readJsonObject(join(directory, "config.json")),
    weights: async ({ family, architecture, head }, expected) =>
      mapWeights(family, architecture, await listCheckpoint(directory), expected, head.kind !== "causalLM"),
    openTokenizer: () => tokenizerOf(directory),
  };
}

/** The directory's tokenizer, or one that refuses where there is none. */
export async function tokenizerOf(directory: string): Promise<Tokenizer> {
  const has = async (...names: string[]) =>
    (await Promise.all(names.map((name) => fileExists(join(directory, name))))).every(Boolean);
  if ((await has("tokenizer.json")) || (await has("vocab.json", "merges.txt"))) return openTokenizer(directory);
  return absentTokenizer(directory);
}
