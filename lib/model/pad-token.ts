// A pad token for tokenizers that have none (Pythia, GPT-2). Nothing here ever computes on padding; the token is for other
// programs that read the saved model, and for texts that contain it.
import { copyFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { saveTokenizer, withPadToken } from "../data/tokenizer";
import { AttributionError } from "../errors";
import { native, runNative } from "../native";
import type { CallOptions } from "../../types/common";
import type { Tokenizer } from "../../types/data";
import type { Model } from "../../types/model";
import type { NativeModelInfo } from "../../types/native";
import { hasTokenizer } from "./absent-tokenizer";
import { wrapModel, type ModelDescription } from "./model";

export type PadToken = "keep" | "add";

/** Tokenizers whose files lack the pad token that was added here. */
const padded = new WeakSet<Tokenizer>();

/** The model with a pad token: the tokenizer's next id, with a new embedding row (the mean of all) where there is none yet. */
export async function addPadToken(
  info: NativeModelInfo,
  description: ModelDescription,
  call?: CallOptions,
): Promise<Model> {
  const { tokenizer: given, architecture } = description;
  if (!hasTokenizer(given))
    throw new AttributionError("missing", 'padToken: "add" needs a tokenizer, and the model has none');
  if (given.special.pad !== undefined) return wrapModel(info, description);
  const tokenizer = await withPadToken(given);
  padded.add(tokenizer);
  given.close();
  const id = tokenizer.special.pad as number;
  const vocabulary = Math.max(architecture.vocabulary, id + 1);
  const config = { ...description.config, vocab_size: vocabulary, pad_token_id: id };
  const wider: ModelDescription = { ...description, tokenizer, config, architecture: { ...architecture, vocabulary } };
  if (vocabulary === architecture.vocabulary) return wrapModel(info, wider);
  try {
    const resized = await runNative(
      (control) => native().resizeEmbedding(info.model, { rows: vocabulary }, control),
      call,
    );
    native().closeModel(info.model);
    return wrapModel(resized, wider);
  } catch (error) {
    tokenizer.close();
    throw error;
  }
}

/** Copies the files that the tokenizer was read from, or writes those of one that was made or changed here. */
export async function writeTokenizer(tokenizer: Tokenizer, directory: string): Promise<void> {
  if (!hasTokenizer(tokenizer)) return;
  if (padded.has(tokenizer) || tokenizer.files.length === 0) await saveTokenizer(tokenizer, directory);
  else for (const file of tokenizer.files) await copyFile(file, join(directory, basename(file)));
}
