// A word-level tokenizer for claims: every word and every mark of the texts is a token, in lower case.
import { createTokenizer } from "../../data/tokenizer";
import type { Tokenizer } from "../../../types/data";

/** Words that the texts do not hold become one unknown token. */
export async function wordTokenizer(texts: readonly string[]): Promise<Tokenizer> {
  const vocab = new Map<string, number>([
    ["<pad>", 0],
    ["<unk>", 1],
  ]);
  for (const text of texts) for (const word of wordsOf(text)) if (!vocab.has(word)) vocab.set(word, vocab.size);
  return createTokenizer(
    {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: { type: "Lowercase" },
      pre_tokenizer: { type: "Whitespace" },
      post_processor: null,
      decoder: null,
      model: { type: "WordLevel", vocab, unk_token: "<unk>" },
    },
    { pad_token: "<pad>", unk_token: "<unk>" },
  );
}

/** As the pre-tokenizer "Whitespace" cuts them: runs of word characters, runs of marks. */
export function wordsOf(text: string): readonly string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}\p{M}_]+|[^\s\p{L}\p{N}\p{M}_]+/gu) ?? [];
}
