// A tokenizer from its definition: added tokens, normalizer, pre-tokenizer, model, decoder. It gives the ids of Hugging Face's own
// (Rust) tokenizers, or refuses the definition by its component's name. Runs in a worker.
import { AttributionError, shown } from "../../errors";
import { requireRustIds, tokenFinders } from "./added-tokens";
import { cleaned, decoderOf } from "./decoders";
import type { Definition } from "./definition";
import { modelOf } from "./models";
import { type Normalizer, normalizerOf } from "./normalizers";
import { isObject, type Json, type Piece, wholePiece } from "./pieces";
import { preTokenizerOf } from "./pre-tokenizers";

export interface Pipeline {
  encode(text: string): readonly number[];
  decode(ids: readonly number[]): string;
  tokenText(id: number): string;
}

export function pipelineOf(definition: Definition): Pipeline {
  const { json, config } = definition;
  const normalize = normalizerOf(json["normalizer"]);
  const preTokenize = preTokenizerOf(withPrefixSpace(json["pre_tokenizer"], config));
  const model = modelOf(json.model);
  requireRustIds(json.added_tokens, model.vocabulary);
  const finders = tokenFinders(json.added_tokens, normalize);
  const idsOf = (piece: Piece): readonly number[] =>
    piece.id === undefined
      ? preTokenize(piece).flatMap(({ text }) => (text === "" ? [] : model.ids(text)))
      : [piece.id];
  const encode = (text: string): readonly number[] => {
    requireWhole(text);
    return finders
      .raw(wholePiece(text))
      .flatMap((piece) =>
        piece.id === undefined && piece.text !== "" ? finders.normalized(normalize(piece)) : [piece],
      )
      .flatMap((piece) => (piece.id === undefined && piece.text === "" ? [] : idsOf(piece)));
  };
  return { encode, ...decoding(definition, model.vocabulary, normalize) };
}

function decoding(
  { json, config, size }: Definition,
  vocabulary: ReadonlyMap<string, number>,
  normalize: Normalizer,
): Pick<Pipeline, "decode" | "tokenText"> {
  const tokens = new Map([...vocabulary].map(([token, id]) => [id, token]));
  // A token that is looked for in the normalized text comes back as it stands there.
  for (const token of json.added_tokens)
    tokens.set(token.id, token["normalized"] === true ? normalize(wholePiece(token.content)).text : token.content);
  const added = new Set(json.added_tokens.map(({ id }) => id));
  const decoder = decoderOf(json["decoder"]);
  const clean = config["clean_up_tokenization_spaces"] === true;
  const byteLevel = JSON.stringify(json["decoder"] ?? null).includes('"ByteLevel"');
  const tokenOf = (id: number): string => {
    if (Number.isInteger(id) && id >= 0 && id < size) return tokens.get(id) ?? "";
    throw new AttributionError("invalid", `Expected token ids within 0–${size - 1} but received ${String(id)}`);
  };
  const decode = (ids: readonly number[]): string => {
    const known = ids.filter((id) => tokenOf(id) !== "" || tokens.has(id));
    const text = known.length === 0 ? "" : decoder(known.map(tokenOf)).join("");
    return clean ? cleaned(text) : text;
  };
  return {
    decode,
    tokenText: (id) => {
      const token = tokenOf(id);
      return byteLevel && !added.has(id) && token !== "" ? decode([id]) : token.replaceAll("▁", " ");
    },
  };
}

/** Rust's texts hold whole characters only, so there are no ids for half of a pair. */
function requireWhole(text: string): void {
  const at = text.search(/[\ud800-\udfff]/u);
  if (at < 0) return;
  const unit = text.charCodeAt(at).toString(16);
  throw new AttributionError(
    "invalid",
    `The text ${shown(text)} has half of a surrogate pair at ${at} (\\u${unit}); give whole characters`,
  );
}

/** tokenizer_config's add_prefix_space overrides that of a byte-level pre-tokenizer, as in transformers. */
function withPrefixSpace(part: unknown, config: Json): unknown {
  const prefix = config["add_prefix_space"];
  const applies = typeof prefix === "boolean" && isObject(part) && part["type"] === "ByteLevel";
  return applies ? { ...part, add_prefix_space: prefix } : part;
}
