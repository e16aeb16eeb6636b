// @huggingface/tokenizers 0.2, made to give the ids of Hugging Face's own (Rust) tokenizers: the places where the JavaScript
// port deviates are rewritten into parts it does exactly, and what it would silently ignore is refused. Runs in the worker.
import { createRequire } from "node:module";
import { AttributionError, shown } from "../errors";
import type { AddedToken, Definition, Json } from "./tokenizer-definition";

/** What is used of the package, whose own types resolve for ES modules only. */
interface Tokenizer {
  encode(
    text: string,
    options: { add_special_tokens: boolean },
  ): { readonly ids: readonly (number | undefined)[]; readonly tokens: readonly string[] };
  decode(ids: readonly number[], options: { clean_up_tokenization_spaces: boolean }): string;
  id_to_token(id: number): string | undefined;
}
const { Tokenizer } = createRequire(__filename)("@huggingface/tokenizers") as {
  readonly Tokenizer: new (json: Json, config: Json) => Tokenizer;
};

export interface ExactTokenizer {
  encode(text: string): readonly number[];
  decode(ids: readonly number[]): string;
  tokenText(id: number): string;
}

export function exactTokenizer(definition: Definition): ExactTokenizer {
  const { json, config } = definition;
  refuseIgnored(json.model, json.added_tokens);
  const preTokenizer = withoutBytes(
    json.model,
    exactPreTokenizer(withPrefixSpace(json["pre_tokenizer"] ?? null, config)),
  );
  const exact = {
    ...json,
    normalizer: json["normalizer"] ?? null,
    pre_tokenizer: preTokenizer,
    post_processor: null,
    decoder: json["decoder"] ?? null,
  };
  // A word-level model's unknown token is looked for in the configuration only.
  const unknown = json.model["unk_token"];
  const tokenizer = construct(exact, typeof unknown === "string" ? { ...config, unk_token: unknown } : config);
  const cleanUp = config["clean_up_tokenization_spaces"] === true;
  const byteLevel = JSON.stringify(json["decoder"] ?? null).includes('"ByteLevel"');
  const added = new Set(json.added_tokens.map((token) => token.id));
  const decode = (ids: readonly number[]): string =>
    ids.length === 0
      ? ""
      : tokenizer.decode(
          ids.map((id) => known(id, definition.size)),
          { clean_up_tokenization_spaces: cleanUp },
        );
  return {
    encode: byWords(json, (text) => encodeWith(tokenizer, text)),
    decode,
    tokenText: (id) => {
      const token = tokenizer.id_to_token(known(id, definition.size)) ?? "";
      return byteLevel && !added.has(id) && token !== "" ? decode([id]) : token.replaceAll("▁", " ");
    },
  };
}

function construct(json: Json, config: Json): Tokenizer {
  try {
    return new Tokenizer(json, config);
  } catch (cause) {
    throw new AttributionError("unsupported", `Cannot build the tokenizer: ${(cause as Error).message}`, { cause });
  }
}

function encodeWith(tokenizer: Tokenizer, text: string): readonly number[] {
  const { ids, tokens } = tokenizer.encode(text, { add_special_tokens: false });
  const unknown = ids.indexOf(undefined);
  if (unknown < 0) return ids as readonly number[];
  throw new AttributionError(
    "invalid",
    `The vocabulary lacks ${shown(tokens[unknown])} of the text ${shown(text)}, and the tokenizer has no unknown token`,
  );
}

const mostWords = 1 << 17;
const longestWord = 64;

/** Keeps the ids of words where GPT-2's rule cuts a text into words that do not see each other; several times as fast. */
function byWords(
  json: Definition["json"],
  encode: (text: string) => readonly number[],
): (text: string) => readonly number[] {
  const part = json["pre_tokenizer"] as Json | null;
  const form = (json["normalizer"] as Json | null)?.["type"];
  const plain = part?.["type"] === "ByteLevel" && part["use_regex"] !== false && part["add_prefix_space"] !== true;
  if (!plain || (form !== undefined && form !== "NFC")) return encode;
  const words = new RegExp(gpt2Words.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}"), "gu");
  const added = json.added_tokens.map((token) => escaped(token.content)).join("|");
  const special = added === "" ? undefined : new RegExp(added, "u");
  const kept = new Map<string, readonly number[]>();
  const idsOf = (word: string): readonly number[] => {
    const ids = kept.get(word) ?? encode(word);
    if (kept.size === mostWords) kept.clear();
    if (word.length <= longestWord) kept.set(word, ids);
    return ids;
  };
  return (text) => {
    const normal = form === "NFC" ? text.normalize("NFC") : text;
    const apart = special === undefined || !(special.test(text) || special.test(normal));
    return apart ? (normal.match(words) ?? []).flatMap(idsOf) : encode(text);
  };
}

function known(id: number, size: number): number {
  if (Number.isInteger(id) && id >= 0 && id < size) return id;
  throw new AttributionError("invalid", `Expected token ids within 0–${size - 1} but received ${String(id)}`);
}

/** Settings that change ids and that the port passes over without a word. */
function refuseIgnored(model: Json, added: readonly AddedToken[]): void {
  const refuse = (what: string): never => {
    throw new AttributionError("unsupported", `The tokenizer has ${what}, which is not supported`);
  };
  const prefix = model["continuing_subword_prefix"];
  if (model["type"] === "BPE" && typeof prefix === "string" && prefix !== "")
    refuse(`a BPE model with continuing_subword_prefix ${shown(prefix)}`);
  if (typeof model["dropout"] === "number" && model["dropout"] > 0) refuse("BPE dropout");
  const single = added.find((token) => token["single_word"] === true);
  if (single !== undefined) refuse(`the added token ${shown(single.content)} with single_word`);
}

/** tokenizer_config's add_prefix_space overrides that of a byte-level pre-tokenizer, as in transformers. */
function withPrefixSpace(part: unknown, config: Json): unknown {
  const prefix = config["add_prefix_space"];
  const applies = typeof prefix === "boolean" && (part as Json | null)?.["type"] === "ByteLevel";
  return applies ? { ...(part as Json), add_prefix_space: prefix } : part;
}

const gpt2Words = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const wordCharacters = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d";
const punctuation = "[\\p{P}!-\\/:-@\\[-`{-~]";

/** Pieces that match the pattern (Rust's meaning of \s, \w, \d: the Unicode properties); what lies between is dropped. */
const matches = (pattern: string): Json => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Removed",
  invert: true,
});
const splitAt = (pattern: string, behavior: "Isolated" | "Removed"): Json => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior,
  invert: false,
});
const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** The pre-tokenizer in parts that the port does as Rust does. */
function exactPreTokenizer(part: unknown): unknown {
  if (typeof part !== "object" || part === null) return null;
  const given = part as Json;
  switch (given["type"]) {
    case "Sequence":
      return { ...given, pretokenizers: (given["pretokenizers"] as unknown[]).map(exactPreTokenizer) };
    // The port's \s takes in U+FEFF and leaves out U+0085.
    case "ByteLevel":
      return given["use_regex"] === false
        ? given
        : sequence(...prefixSpace(given), matches(gpt2Words), { ...given, add_prefix_space: false, use_regex: false });
    // The port's \w knows ASCII only; Rust's has the two joiners beside what Oniguruma's has.
    case "Whitespace":
      return matches(`[${wordCharacters}]+|[^${wordCharacters}\\s]+`);
    case "WhitespaceSplit":
      return matches("\\S+");
    case "CharDelimiterSplit":
      return splitAt(escaped(String(given["delimiter"])), "Removed");
    // The port knows ASCII digits only.
    case "Digits":
      return splitAt(given["individual_digits"] === true ? "\\p{N}" : "\\p{N}+", "Isolated");
    // The port joins neighbouring marks.
    case "Punctuation":
      return splitAt(
        given["behavior"] === "Contiguous" ? `${punctuation}+` : punctuation,
        behaviorOf(given, "Isolated"),
      );
    // The port never splits.
    case "Metaspace":
      return metaspace(given);
    case "Split":
      return exactSplit(given);
    default:
      return given;
  }
}

/** Rust drops a byte that a byte-level vocabulary lacks before it merges; the port drops it afterwards. */
function withoutBytes(model: Json, part: unknown): unknown {
  const vocab = model["vocab"] as Readonly<Record<string, number>>;
  const drops = model["type"] === "BPE" && typeof model["unk_token"] !== "string" && model["byte_fallback"] !== true;
  const lacking = byteSymbols.filter((symbol) => !Object.hasOwn(vocab, symbol));
  if (!drops || lacking.length === 0 || !JSON.stringify(part).includes('"ByteLevel"')) return part;
  return sequence(part, { type: "Replace", pattern: { Regex: lacking.map(escaped).join("|") }, content: "" });
}

/** The characters that byte-level BPE writes the 256 bytes with, in no order. */
const byteSymbols = Array.from({ length: 0x144 }, (_, code) => code)
  .filter((code) => (code > 32 && code < 127) || (code > 160 && code !== 173))
  .map((code) => String.fromCodePoint(code));

function sequence(...pretokenizers: readonly unknown[]): Json {
  return { type: "Sequence", pretokenizers };
}

/** A space before a text that has none; the pattern takes the whole text, so that it is replaced once. */
function prefixSpace(byteLevel: Json): Json[] {
  const whole = { Regex: " ([\\s\\S]*)|([^ ][\\s\\S]*)" };
  return byteLevel["add_prefix_space"] === true ? [{ type: "Replace", pattern: whole, content: " $1$2" }] : [];
}

function metaspace(given: Json): Json {
  const mark = escaped(typeof given["replacement"] === "string" ? given["replacement"] : "▁");
  const whole =
    given["prepend_scheme"] === undefined && given["add_prefix_space"] === false
      ? { ...given, prepend_scheme: "never" }
      : given;
  return given["split"] === false ? whole : sequence(whole, matches(`${mark}[^${mark}]*|[^${mark}]+`));
}

function exactSplit(given: Json): Json {
  const behavior = behaviorOf(given, "Removed");
  const inverted = given["invert"] === true;
  if (inverted && behavior !== "Removed")
    throw new AttributionError(
      "unsupported",
      "The tokenizer has an inverted Split that keeps what lies between, which is not supported",
    );
  const pattern = given["pattern"] as { readonly Regex?: string; readonly String?: string } | undefined;
  const regex = pattern?.Regex ?? (pattern?.String === undefined ? undefined : escaped(pattern.String));
  if (regex === undefined) throw new AttributionError("corrupt", "The tokenizer has a Split without a pattern");
  return inverted ? matches(regex) : splitAt(regex, behavior);
}

function behaviorOf(given: Json, fallback: "Isolated" | "Removed"): "Isolated" | "Removed" {
  const behavior = given["behavior"] ?? fallback;
  if (behavior === "Isolated" || behavior === "Removed") return behavior;
  if (behavior === "Contiguous" && given["type"] === "Punctuation") return "Isolated";
  throw new AttributionError(
    "unsupported",
    `The tokenizer has a ${String(given["type"])} with behavior ${shown(behavior)}, which is not supported`,
  );
}
