// Added tokens: found in the text before all else. Those that are not normalized are looked for in the text as it came, the
// others in the normalized text.
import { shown } from "../../errors";
import type { AddedToken } from "./definition";
import type { Normalizer } from "./normalizers";
import { misshapen, type Piece, slice, wholePiece } from "./pieces";
import { classBody, complement, tableSet } from "./unicode";

/** Cuts a piece at the added tokens in it. */
export type TokenFinder = (piece: Piece) => Piece[];

/** Finders for the text as it came, and for the normalized text. */
export function tokenFinders(
  added: readonly AddedToken[],
  normalize: Normalizer,
): { readonly raw: TokenFinder; readonly normalized: TokenFinder } {
  // Special tokens come first, so that of two with one spelling the special one is found.
  const ordered = [...added.filter((token) => token.special), ...added.filter((token) => !token.special)];
  const flagged = new Map(ordered.map((token) => [token.id, token]));
  const finder = (wanted: boolean): TokenFinder => {
    const entries = ordered
      .filter((token) => (token["normalized"] === true) === wanted)
      .map((token) => {
        const spelling = wanted ? normalize(wholePiece(token.content)).text : token.content;
        if (spelling === "") throw misshapen(`added token ${shown(token.content)} is empty once it is normalized`);
        return [spelling, flagged.get(token.id)!] as const;
      });
    return entries.length === 0 ? (piece) => [piece] : finderOf(entries);
  };
  return { raw: finder(false), normalized: finder(true) };
}

/** Rust numbers added tokens itself; where a file says otherwise, its ids are not those that Hugging Face gives. */
export function requireRustIds(added: readonly AddedToken[], vocabulary: ReadonlyMap<string, number>): void {
  const given = new Map<string, number>();
  let most = -1;
  for (const { content, id } of added) {
    const next = most >= vocabulary.size || vocabulary.size === 0 ? most + 1 : vocabulary.size;
    const expected = given.get(content) ?? vocabulary.get(content) ?? next;
    if (expected !== id)
      throw misshapen(
        `added token ${shown(content)} has the id ${id}, where Hugging Face's tokenizers give it ${expected}`,
      );
    given.set(content, id);
    most = Math.max(most, id);
  }
}

interface Branch {
  readonly next: Map<number, Branch>;
  token?: AddedToken;
}

function finderOf(entries: readonly (readonly [spelling: string, token: AddedToken])[]): TokenFinder {
  const root: Branch = { next: new Map() };
  for (const [spelling, token] of entries) {
    let branch = root;
    for (let at = 0; at < spelling.length; at++) {
      const unit = spelling.charCodeAt(at);
      const further = branch.next.get(unit) ?? { next: new Map<number, Branch>() };
      branch.next.set(unit, further);
      branch = further;
    }
    branch.token ??= token;
  }
  const firsts = new Uint8Array(1 << 16);
  for (const unit of root.next.keys()) firsts[unit] = 1;
  return (piece) => cut(piece, root, firsts);
}

/** The longest token that begins at a position. */
function longestAt(root: Branch, text: string, start: number): readonly [end: number, token: AddedToken] | undefined {
  let found: readonly [number, AddedToken] | undefined;
  let branch = root.next.get(text.charCodeAt(start));
  for (let end = start + 1; branch !== undefined; end++) {
    if (branch.token !== undefined) found = [end, branch.token];
    branch = end < text.length ? branch.next.get(text.charCodeAt(end)) : undefined;
  }
  return found;
}

function cut(piece: Piece, root: Branch, firsts: Uint8Array): Piece[] {
  const { text } = piece;
  const pieces: Piece[] = [];
  let last = 0;
  for (let at = 0; at < text.length;) {
    const found = firsts[text.charCodeAt(at)] === 1 ? longestAt(root, text, at) : undefined;
    if (found === undefined) {
      at++;
      continue;
    }
    const [start, end] = [at, found[0]];
    const token = found[1];
    at = end;
    if (token["single_word"] === true && (wordBefore(text, start) || wordBehind(text, end))) continue;
    const from = token["lstrip"] === true ? Math.max(last, spacesBefore(text, start)) : start;
    const to = token["rstrip"] === true ? spacesBehind(text, end) : end;
    if (from > last) pieces.push(slice(piece, last, from));
    // Nothing is left of a token of spaces that the one before has taken along.
    if (to > from) pieces.push({ ...slice(piece, from, to), id: token.id });
    last = to;
  }
  if (last < text.length) pieces.push(slice(piece, last, text.length));
  return pieces;
}

const word = `[${classBody(complement(tableSet("rust.whitespaceCut")))}]`;
const wordAtEnd = new RegExp(`${word}$`, "u");
const wordAtStart = new RegExp(`^${word}`, "u");
const space = new RegExp(`[${classBody(tableSet("rust.space"))}]`, "u");

function wordBefore(text: string, start: number): boolean {
  return wordAtEnd.test(text.slice(Math.max(0, start - 2), start));
}

function wordBehind(text: string, end: number): boolean {
  return wordAtStart.test(text.slice(end, end + 2));
}

function spacesBefore(text: string, start: number): number {
  let at = start;
  while (at > 0 && space.test(text[at - 1])) at--;
  return at;
}

function spacesBehind(text: string, end: number): number {
  let at = end;
  while (at < text.length && space.test(text[at])) at++;
  return at;
}
