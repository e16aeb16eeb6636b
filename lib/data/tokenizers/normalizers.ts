// Normalizers: the first component of a tokenizer, from text to text, each as the Rust tokenizers do it.
import { utf8Symbols } from "./byte-symbols";
import { characterMap } from "./character-map";
import {
  changed,
  flagOf,
  isObject,
  type Json,
  listAt,
  mapped,
  misshapen,
  type Piece,
  prepended,
  textOf,
  typeOf,
  unsupported,
} from "./pieces";
import { type Expression, literalExpression, matchesOf, onlyAscii, regularExpression } from "./regular-expression";
import { classBody, lowerCase, tableSet, type Ranges } from "./unicode";

export type Normalizer = (piece: Piece) => Piece;

/** The normalizer that tokenizer.json describes. */
export function normalizerOf(part: unknown): Normalizer {
  if (part === null || part === undefined) return (piece) => piece;
  const { json, type } = typeOf(part, "normalizer");
  const make = Object.hasOwn(makers, type) ? makers[type] : undefined;
  if (make === undefined) throw unsupported(`the normalizer "${type}"`);
  return make(json);
}

const makers: Readonly<Record<string, (json: Json) => Normalizer>> = {
  Sequence: (json) => {
    const steps = listAt(json, "normalizers", "normalizer Sequence").map(normalizerOf);
    return (piece) => steps.reduce((text, step) => step(text), piece);
  },
  NFC: () => normalForm("NFC"),
  NFD: () => normalForm("NFD"),
  NFKC: () => normalForm("NFKC"),
  NFKD: () => normalForm("NFKD"),
  Lowercase: () => (piece) => mapped(piece, lowered),
  StripAccents: () => without(tableSet("rust.mark")),
  Nmt: () => nmt,
  BertNormalizer: bert,
  Strip: (json) => stripped(flagOf(json, "strip_left", true), flagOf(json, "strip_right", true)),
  Prepend: (json) => {
    const before = textOf(json, "prepend", "normalizer Prepend");
    return (piece) => prepended(piece, before);
  },
  Replace: (json) => {
    const pattern = patternOf(json, "normalizer Replace");
    const content = textOf(json, "content", "normalizer Replace");
    return (piece) => replaced(piece, pattern, content);
  },
  ByteLevel: () => (piece) => mapped(piece, utf8Symbols),
  Precompiled: (json) => characterMap(textOf(json, "precompiled_charsmap", "normalizer Precompiled")),
};

/** What a component looks for: {"String": text} or {"Regex": pattern}. */
export function patternOf(json: Json, what: string): Expression {
  const { pattern } = json;
  if (isObject(pattern) && typeof pattern["String"] === "string") return literalExpression(pattern["String"]);
  if (isObject(pattern) && typeof pattern["Regex"] === "string") return regularExpression(pattern["Regex"]);
  throw misshapen(`${what} has no pattern`);
}

/** The piece with each match replaced; a replacement counts as the first character's where the match ends within it. */
export function replaced(piece: Piece, pattern: Expression, content: string): Piece {
  let [text, last, head] = ["", 0, piece.head];
  const bounds = matchesOf(pattern, piece.text);
  for (let index = 0; index < bounds.length; index += 2) {
    const [start, end] = [bounds[index], bounds[index + 1]];
    text += piece.text.slice(last, start) + content;
    if (end <= piece.head) head += content.length - (end - start);
    else if (start < piece.head) head -= piece.head - start;
    last = end;
  }
  return changed(piece, text + piece.text.slice(last), Math.max(head, piece.head < 0 ? -1 : 0));
}

/** The text in small letters, each character by itself. */
function lowered(text: string): string {
  if (onlyAscii.test(text)) return text.toLowerCase();
  return Array.from(text, (character) => lowerCase.get(character) ?? character).join("");
}

function without(set: Ranges): Normalizer {
  const removed = new RegExp(`[${classBody(set)}]+`, "gu");
  return (piece) => mapped(piece, (text) => text.replace(removed, ""));
}

type Form = "NFC" | "NFD" | "NFKC" | "NFKD";
let activeRuns: RegExp | undefined;

/** Newer characters than Rust's tables know stand for themselves there; the known ones have the same form in every version. */
function normalForm(form: Form): Normalizer {
  activeRuns ??= new RegExp(`[${classBody(tableSet("normal.active"))}]+`, "gu");
  const runs = activeRuns;
  const change = (text: string): string => text.replace(runs, (run) => run.normalize(form));
  return (piece) => {
    if (onlyAscii.test(piece.text)) return piece;
    const text = change(piece.text);
    // Marks change places, but Rust counts characters in their new order.
    const count = piece.head > 0 ? Array.from(change(piece.text.slice(0, piece.head))).length : 0;
    return changed(
      piece,
      text,
      Array.from(text.slice(0, 2 * count))
        .slice(0, count)
        .join("").length,
    );
  };
}

const nmtRemoved = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/gu; // eslint-disable-line no-control-regex
const nmtSpaces = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/gu;
const nmt: Normalizer = (piece) => mapped(piece, (text) => text.replace(nmtRemoved, "").replace(nmtSpaces, " "));

function bert(json: Json): Normalizer {
  const lower = flagOf(json, "lowercase", true);
  const accents = flagOf(json, "strip_accents", lower);
  const steps: Normalizer[] = [];
  if (flagOf(json, "clean_text", true)) steps.push(without(tableSet("bert.cleaned")), spacesMadePlain());
  if (flagOf(json, "handle_chinese_chars", true)) steps.push(chineseApart());
  if (accents) steps.push(normalForm("NFD"), without(tableSet("bert.accent")));
  if (lower) steps.push((piece) => mapped(piece, lowered));
  return (piece) => steps.reduce((text, step) => step(text), piece);
}

function spacesMadePlain(): Normalizer {
  const spaces = new RegExp(`[${classBody(tableSet("rust.space"))}]`, "gu");
  return (piece) => mapped(piece, (text) => text.replace(spaces, " "));
}

function chineseApart(): Normalizer {
  const chinese = new RegExp(`[${classBody(tableSet("bert.chinese"))}]`, "gu");
  return (piece) => mapped(piece, (text) => text.replace(chinese, " $& "));
}

function stripped(left: boolean, right: boolean): Normalizer {
  const space = `[${classBody(tableSet("rust.space"))}]`;
  const [before, after] = [new RegExp(`^${space}+`, "u"), new RegExp(`${space}+$`, "u")];
  return (piece) => {
    const start = left ? (before.exec(piece.text)?.[0].length ?? 0) : 0;
    const rest = piece.text.slice(start);
    const text = right ? trimmedEnd(rest, after) : rest;
    return changed(piece, text, Math.max(0, piece.head - start));
  };
}

/** Looks at the last run of spaces only: a regular expression alone would try each earlier run too. */
function trimmedEnd(text: string, spaces: RegExp): string {
  let end = text.length;
  while (end > 0 && spaces.test(text[end - 1])) end--;
  return text.slice(0, end);
}
