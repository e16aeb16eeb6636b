// Decoders: the last component, from the texts of tokens to one text. Those of @huggingface/tokenizers are taken where they
// give what the Rust library gives (npm run check:tokenizers); the others deviate from it, and are ours.
import { createRequire } from "node:module";
import { symbolBytes } from "./byte-symbols";
import { patternOf } from "./normalizers";
import { countOf, flagOf, type Json, listAt, misshapen, textOf, typeOf, unsupported } from "./pieces";
import { type Expression, matchesOf } from "./regular-expression";

/** From the tokens' texts to texts whose sequence is the whole. */
export type Decoder = (tokens: readonly string[]) => readonly string[];

/** What is used of the package, whose own types resolve for ES modules only. */
type PortedDecoder = new (json: Json) => { decode_chain(tokens: string[]): string[] };
const port = createRequire(__filename)("@huggingface/tokenizers") as Readonly<
  Record<"BPEDecoder" | "FuseDecoder" | "StripDecoder" | "WordPieceDecoder", PortedDecoder>
>;

function ported(Ported: PortedDecoder, json: Json): Decoder {
  const decoder = new Ported(json);
  return (tokens) => decoder.decode_chain([...tokens]);
}

/** The decoder that tokenizer.json describes; without one, a space stands between two tokens. */
export function decoderOf(part: unknown): Decoder {
  if (part === null || part === undefined) return (tokens) => [tokens.join(" ")];
  const { json, type } = typeOf(part, "decoder");
  const make = Object.hasOwn(makers, type) ? makers[type] : undefined;
  if (make === undefined) throw unsupported(`the decoder "${type}"`);
  return make(json);
}

const lenient = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const makers: Readonly<Record<string, (json: Json) => Decoder>> = {
  Sequence: (json) => {
    const steps = listAt(json, "decoders", "decoder Sequence").map(decoderOf);
    return (tokens) => steps.reduce((texts, step) => step(texts), tokens);
  },
  ByteLevel: () => (tokens) => [
    lenient.decode(Uint8Array.from(tokens.flatMap((token) => symbolBytes(token) ?? Array.from(Buffer.from(token))))),
  ],
  ByteFallback: () => bytesJoined,
  Fuse: (json) => ported(port.FuseDecoder, json),
  Metaspace: metaspace,
  WordPiece: (json) => {
    const prefix = textOf(json, "prefix", "decoder WordPiece", "##");
    return ported(port.WordPieceDecoder, { ...json, prefix, cleanup: flagOf(json, "cleanup", true) });
  },
  BPEDecoder: (json) =>
    ported(port.BPEDecoder, { ...json, suffix: textOf(json, "suffix", "decoder BPEDecoder", "</w>") }),
  CTC: ctc,
  Replace: (json) => {
    const pattern = patternOf(json, "decoder Replace");
    const content = textOf(json, "content", "decoder Replace");
    return (tokens) => tokens.map((token) => replacedIn(token, pattern, content));
  },
  Strip: (json) => {
    const content = textOf(json, "content", "decoder Strip", " ");
    const [start, stop] = [countOf(json, "start", 0), countOf(json, "stop", 0)];
    if ([...content].length !== 1) throw misshapen("decoder Strip strips more than one character");
    return ported(port.StripDecoder, { ...json, content, start, stop });
  },
};

/** Tokens of the form <0x41> are bytes; a run of them that is no UTF-8 becomes a replacement character for each byte. */
const bytesJoined: Decoder = (tokens) => {
  const texts: string[] = [];
  let bytes: number[] = [];
  const close = (): void => {
    if (bytes.length === 0) return;
    try {
      texts.push(strict.decode(Uint8Array.from(bytes)));
    } catch {
      texts.push("\ufffd".repeat(bytes.length));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
    if (byte !== null) bytes.push(parseInt(byte[1], 16));
    else {
      close();
      texts.push(token);
    }
  }
  close();
  return texts;
};

function metaspace(json: Json): Decoder {
  const mark = textOf(json, "replacement", "decoder Metaspace", "▁");
  const scheme = json["prepend_scheme"] ?? (json["add_prefix_space"] === false ? "never" : "always");
  return (tokens) =>
    tokens.map((token, index) => token.replaceAll(mark, () => (index === 0 && scheme !== "never" ? "" : " ")));
}

function ctc(json: Json): Decoder {
  const pad = textOf(json, "pad_token", "decoder CTC", "<pad>");
  const delimiter = textOf(json, "word_delimiter_token", "decoder CTC", "|");
  const clean = flagOf(json, "cleanup", true);
  return (tokens) =>
    tokens
      .filter((token, index) => index === 0 || token !== tokens[index - 1])
      .map((token) => {
        const text = token.replaceAll(pad, "");
        return clean ? cleaned(text).replaceAll(delimiter, " ") : text;
      })
      .filter((text) => text !== "");
}

function replacedIn(text: string, pattern: Expression, content: string): string {
  let [out, last] = ["", 0];
  const bounds = matchesOf(pattern, text);
  for (let index = 0; index < bounds.length; index += 2) {
    const [start, end] = [bounds[index], bounds[index + 1]];
    out += text.slice(last, start) + content;
    last = end;
  }
  return out + text.slice(last);
}

/** English without the spaces that cutting into words has made. */
export function cleaned(text: string): string {
  const spaced = [" .", " ?", " !", " ,"];
  const marks = spaced.reduce((out, mark) => out.replaceAll(mark, mark.slice(1)), text);
  return [" n't", " 'm", " do not", " 's", " 've", " 're"].reduce(
    (out, word) => out.replaceAll(word, word === " do not" ? " don't" : word.slice(1)),
    marks.replaceAll(" ' ", "'"),
  );
}
