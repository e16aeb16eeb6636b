// Stands in where a model directory has no tokenizer: tokens can still be given by hand, texts cannot.
import { AttributionError } from "../errors";
import type { Tokenizer } from "../../types/data";

/** A tokenizer whose calls reject with "missing". */
export function absentTokenizer(where: string): Tokenizer {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new AttributionError(
        "missing",
        `${where} has no tokenizer (tokenizer.json, or vocab.json and merges.txt). Add its files, or give tokens instead of texts`,
      ),
    );
  return Object.freeze({
    encode: refuse,
    decode: refuse,
    tokenTexts: refuse,
    size: 0,
    special: {},
    start: [],
    end: [],
    files: [],
    close: () => undefined,
  });
}

/** Whether the tokenizer can be used. */
export function hasTokenizer(tokenizer: Tokenizer): boolean {
  return tokenizer.size > 0;
}
