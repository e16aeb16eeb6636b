// Pieces of a text on their way to the model: what all components of a tokenizer share.
import { AttributionError } from "../../errors";

/** Part of a text. `head`: how many of its first units come from the text's first character; −1 where it begins later. */
export interface Piece {
  readonly text: string;
  readonly head: number;
  /** The id of an added token: nothing more happens to the piece. */
  readonly id?: number;
}

export type Json = Readonly<Record<string, unknown>>;

/** Longer texts are refused, before and after normalization: a replacement that feeds on itself would fill the memory. */
const longestText = 1 << 22;

export function wholePiece(text: string): Piece {
  if (text.length > longestText)
    throw new AttributionError(
      "invalid",
      `The text has ${text.length} characters; split it: at most ${longestText} are encoded`,
    );
  return { text: text, head: text === "" ? 0 : text.codePointAt(0)! > 0xffff ? 2 : 1 };
}

/** A part of a piece. */
export function slice({ text, head }: Piece, start: number, end: number): Piece {
  return { text: text.slice(start, end), head: start < head ? Math.min(head, end) - start : -1 };
}

/** The piece with its text changed; `head` is the text's first character's share of the new text. */
export function changed(piece: Piece, text: string, head: number): Piece {
  if (text.length > longestText)
    throw new AttributionError(
      "invalid",
      `The tokenizer makes a text of more than ${longestText} characters. Split the text, or look for a replacement that grows`,
    );
  return { text, head: piece.head < 0 ? -1 : Math.min(head, text.length) };
}

/** The piece with each character changed by itself. */
export function mapped(piece: Piece, change: (text: string) => string): Piece {
  return changed(piece, change(piece.text), piece.head > 0 ? change(piece.text.slice(0, piece.head)).length : 0);
}

/** The piece with a text before it; an empty piece stays empty. */
export function prepended(piece: Piece, before: string): Piece {
  return piece.text === ""
    ? piece
    : changed(piece, before + piece.text, piece.head > 0 ? piece.head + before.length : 0);
}

/** A component or a setting that is not supported, by name. */
export function unsupported(what: string): AttributionError {
  return new AttributionError("unsupported", `The tokenizer has ${what}, which is not supported`);
}

/** A component that lacks what it needs. */
export function misshapen(what: string): AttributionError {
  return new AttributionError("corrupt", `The tokenizer's ${what}`);
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A component's kind, by the name that tokenizer.json gives it. */
export function typeOf(part: unknown, what: string): { readonly json: Json; readonly type: string } {
  if (isObject(part) && typeof part["type"] === "string") return { json: part, type: part["type"] };
  throw misshapen(`${what} has no "type"`);
}

export function textOf(json: Json, key: string, what: string, fallback?: string): string {
  const value = json[key] ?? fallback;
  if (typeof value === "string") return value;
  throw misshapen(`${what} has no text "${key}"`);
}

export function flagOf(json: Json, key: string, fallback: boolean): boolean {
  const value = json[key] ?? fallback;
  if (typeof value === "boolean") return value;
  throw misshapen(`"${key}" is neither true nor false`);
}

export function countOf(json: Json, key: string, fallback: number): number {
  const value = json[key] ?? fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw misshapen(`"${key}" is not a whole number of at least 0`);
}

export function listAt(json: Json, key: string, what: string): readonly unknown[] {
  const value = json[key];
  if (Array.isArray(value)) return value;
  throw misshapen(`${what} has no list "${key}"`);
}
