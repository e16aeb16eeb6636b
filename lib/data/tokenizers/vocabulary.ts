// What all models share: a vocabulary, its byte tokens, and the refusal of a word that it lacks.
import { AttributionError, shown } from "../../errors";
import type { Json } from "./pieces";

/** The third component of a tokenizer. */
export interface Model {
  /** The ids of a word. */
  ids(word: string): readonly number[];
  readonly vocabulary: ReadonlyMap<string, number>;
}

/** Ids by token, of `{"token": id}`. */
export function vocabularyMap(json: Json): ReadonlyMap<string, number> {
  return new Map(Object.entries(json["vocab"] as Readonly<Record<string, number>>));
}

export function withoutUnknown(word: string): AttributionError {
  return new AttributionError(
    "invalid",
    `The vocabulary lacks ${shown(word)}, and the tokenizer has no unknown token in its vocabulary`,
  );
}

/** The ids of <0x00> … <0xFF>, where the vocabulary has them. */
export function byteTokens(vocabulary: ReadonlyMap<string, number>): readonly (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) =>
    vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
  );
}

/** The ids of a text's bytes, or undefined where one has none. */
export function bytesOf(tokens: readonly (number | undefined)[], text: string): number[] | undefined {
  const ids = Array.from(Buffer.from(text), (byte) => tokens[byte]);
  return ids.includes(undefined) ? undefined : (ids as number[]);
}
