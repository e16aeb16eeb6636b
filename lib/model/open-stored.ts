// Opens a stored model: a directory in Hugging Face's form, or a GGUF file.
import { join } from "node:path";
import { openTokenizer } from "../data/tokenizer";
import { fileExists, readJsonObject } from "../storage/files";
import type { Tokenizer } from "../../types/data";
import { absentTokenizer } from "./absent-tokenizer";
import { openGguf } from "./gguf/open";
import { listCheckpoint } from "./weights/checkpoint";
import { mapWeights } from "./weights/checkpoint-weights";
import type { FoundModel } from "./weights/hub-model";
import type { StoredModel } from "./weights/stored-model";

/** A directory or a GGUF file, found before. */
export async function openStored({ path, form, hub }: FoundModel): Promise<StoredModel> {
  const stored = await (form === "gguf" ? openGguf(path) : openDirectory(path));
  return hub === undefined ? stored : { ...stored, source: hub };
}

async function openDirectory(directory: string): Promise<StoredModel> {
  return {
    config: await readJsonObject(join(directory, "config.json")),
    weights: async ({ family, architecture, head }, expected) =>
      mapWeights(
        family,
        architecture,
        await listCheckpoint(directory),
        expected,
        head.kind === "classification" || head.kind === "choice",
      ),
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
