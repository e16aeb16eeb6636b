// A GGUF file's own tokenizer: byte-level BPE from its tokens, types and merges, cut into words as `tokenizer.ggml.pre` says.
// The rules are those of the tokenizer.json that each name stands for (llama.cpp's convert_hf_to_gguf.py makes the names).
import { createTokenizer } from "../../data/tokenizer";
import { AttributionError, shown } from "../../errors";
import { pacer } from "../../pacing";
import { corrupt } from "../../storage/listing";
import type { Tokenizer } from "../../../types/data";
import { absentTokenizer } from "../absent-tokenizer";
import { tokenRoles } from "./config";
import type { GgufKeys } from "./keys";

type Json = Readonly<Record<string, unknown>>;

const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const bytesOnly = { ...byteLevel, use_regex: false };
const sequence = (...pretokenizers: readonly Json[]): Json => ({ type: "Sequence", pretokenizers });
const words = (numbers: string): Json => ({
  type: "Split",
  behavior: "Isolated",
  invert: false,
  pattern: {
    Regex: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  },
});

interface Rules {
  readonly preTokenizer: Json;
  readonly normalizer?: Json;
  /** A word that is a token is that token, whatever the merges make of it. */
  readonly wholeWords?: boolean;
  readonly startsWithBos?: boolean;
}

const rules: ReadonlyMap<string, Rules> = new Map<string, Rules>([
  ["gpt-2", { preTokenizer: byteLevel }],
  ["smollm", { preTokenizer: sequence({ type: "Digits", individual_digits: true }, byteLevel) }],
  ["llama-bpe", { preTokenizer: sequence(words("\\p{N}{1,3}"), bytesOnly), wholeWords: true, startsWithBos: true }],
  ["qwen2", { preTokenizer: sequence(words("\\p{N}"), bytesOnly), normalizer: { type: "NFC" } }],
]);

/** ggml's numbers for kinds of tokens that are taken from the text as they stand. */
const [control, userDefined] = [3, 4];

/**
 * The tokenizer of a file with `rows` embedding rows; one that refuses where the file has none. Other kinds than byte-level
 * BPE are "unsupported", other rules of cutting "unknown".
 */
export async function ggufTokenizer(keys: GgufKeys, rows: number): Promise<Tokenizer> {
  const kind = keys.text("tokenizer.ggml.model", "none");
  if (kind === "none" || kind === "no_vocab") return absentTokenizer(keys.path);
  if (kind !== "gpt2")
    throw new AttributionError(
      "unsupported",
      `${keys.path} has a tokenizer of the kind ${shown(kind)}; read is "gpt2", byte-level BPE`,
    );
  const { preTokenizer, normalizer = null, wholeWords = false, startsWithBos = false } = rulesOf(keys);
  const tokens = keys.texts("tokenizer.ggml.tokens");
  if (tokens.length > rows) throw corrupt(keys.path, `has ${tokens.length} tokens but ${rows} embeddings`);
  const special = specialTokens(keys, tokens);
  const bos = keys.flag("tokenizer.ggml.add_bos_token", startsWithBos)
    ? special.find(({ role }) => role === "bos")
    : undefined;
  return createTokenizer(
    {
      version: "1.0",
      truncation: null,
      padding: null,
      normalizer,
      pre_tokenizer: preTokenizer,
      added_tokens: addedTokens(keys, tokens),
      post_processor: bos === undefined ? { ...byteLevel, trim_offsets: false } : beginningWith(bos),
      decoder: { ...byteLevel, add_prefix_space: true },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: wholeWords,
        vocab: await vocabularyOf(keys, tokens),
        merges: keys.texts("tokenizer.ggml.merges"),
      },
    },
    configOf(keys, special),
  );
}

function rulesOf(keys: GgufKeys): Rules {
  const name = keys.text("tokenizer.ggml.pre");
  const found = rules.get(name);
  if (found === undefined)
    throw new AttributionError(
      "unknown",
      `Unknown tokenizer.ggml.pre ${shown(name)} in ${keys.path}. Known: ${[...rules.keys()].join(", ")}`,
    );
  return found;
}

async function vocabularyOf(keys: GgufKeys, tokens: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const pace = pacer();
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) {
    if (ids.has(token)) throw corrupt(keys.path, `has the token ${shown(token)} twice`);
    ids.set(token, id);
    if (id % 1024 === 0) await pace();
  }
  return ids;
}

/** Control tokens and those that the maker defined; both are looked for in the text before all else. */
function addedTokens(keys: GgufKeys, tokens: readonly string[]): readonly Json[] {
  const types = keys.value("tokenizer.ggml.token_type");
  if (types === undefined) return [];
  if (!ArrayBuffer.isView(types) || types.length !== tokens.length)
    throw corrupt(keys.path, `expected a "tokenizer.ggml.token_type" for each of its ${tokens.length} tokens`);
  const added: Json[] = [];
  tokens.forEach((content, id) => {
    const special = types[id] === control;
    if (special || types[id] === userDefined)
      added.push({ id, content, special, single_word: false, lstrip: false, rstrip: false, normalized: false });
  });
  return added;
}

interface SpecialToken {
  readonly role: keyof typeof tokenRoles;
  readonly id: number;
  readonly content: string;
}

/** An id beyond the tokens means none, as llama.cpp takes it. */
function specialTokens(keys: GgufKeys, tokens: readonly string[]): readonly SpecialToken[] {
  return Object.entries(tokenRoles).flatMap(([role, name]) => {
    const id = keys.value(`tokenizer.ggml.${name}_token_id`) ?? -1;
    if (typeof id !== "number")
      throw corrupt(keys.path, `"tokenizer.ggml.${name}_token_id" is ${shown(id)} and no number`);
    const content = tokens[id];
    return content === undefined ? [] : [{ role, id, content } as SpecialToken];
  });
}

/** Only other programs use it: here no token is added to a text unasked. */
function beginningWith({ id, content }: SpecialToken): Json {
  const bos = { SpecialToken: { id: content, type_id: 0 } };
  const [first, second] = ["A", "B"].map((name, type) => ({ Sequence: { id: name, type_id: type } }));
  return {
    type: "TemplateProcessing",
    single: [bos, first],
    pair: [bos, first, bos, second],
    special_tokens: { [content]: { id: content, ids: [id], tokens: [content] } },
  };
}

function configOf(keys: GgufKeys, special: readonly SpecialToken[]): Json {
  const template = keys.value("tokenizer.chat_template");
  return {
    ...Object.fromEntries(special.map(({ role, content }) => [`${role}_token`, content])),
    clean_up_tokenization_spaces: false,
    ...(typeof template === "string" ? { chat_template: template } : {}),
  };
}
