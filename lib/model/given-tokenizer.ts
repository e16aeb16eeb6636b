// A tokenizer that the caller names in place of the model's own.
import { openTokenizer } from "../data/tokenizer";
import { expected } from "../errors";
import { pathOf } from "../options";
import { directoryExists } from "../storage/files";
import type { Tokenizer } from "../../types/data";

const what = "a Tokenizer, a directory, or a tokenizer.json";

/** Opens a path; a Tokenizer is taken as it is, and closes with the last model that has it. */
export async function givenTokenizer(tokenizer: Tokenizer | string): Promise<Tokenizer> {
  if (typeof tokenizer !== "string") {
    if (typeof tokenizer?.encode !== "function") throw expected("tokenizer", what, tokenizer);
    return tokenizer;
  }
  const path = pathOf("tokenizer", what, tokenizer);
  return openTokenizer((await directoryExists(path)) || !path.endsWith(".json") ? path : { files: [path] });
}
