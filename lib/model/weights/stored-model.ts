// A model as it is stored, whichever way: a directory in Hugging Face's form, or a GGUF file.
import { join } from "node:path";
import { openTokenizer } from "../../data/tokenizer";
import { fileExists, readJsonObject } from "../../storage/files";
import type { Tokenizer } from "../../../types/data";
import type { NativeWeightInfo } from "../../../types/native";
import { absentTokenizer } from "../absent-tokenizer";
import type { Plan } from "../config/architecture";
import { listCheckpoint } from "./checkpoint";
import { mapWeights, type WeightMap } from "./checkpoint-weights";
import { openGguf } from "../gguf/open";
import type { Config } from "../config/config-reader";
import { findModel } from "./source";

export interface StoredModel {
  /** config.json, or what it would say. */
  readonly config: Config;
  /** Which stored tensor fills which of the `expected` weights. */
  weights(plan: Plan, expected: readonly NativeWeightInfo[]): Promise<WeightMap>;
  openTokenizer(): Promise<Tokenizer>;
}

/** What `source` means: a directory, a GGUF file, or a hub id in the Hugging Face cache. */
export async function openStored(source: string): Promise<StoredModel> {
  const { path, form } = await findModel(source);
  return form === "gguf" ? openGguf(path) : openDirectory(path);
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
