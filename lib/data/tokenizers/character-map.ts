// SentencePiece's normalizer: a map from characters, or clusters of up to five bytes, onto texts. It comes as a double array
// (the format of the library Darts) and the texts behind it.
import { changed, misshapen, type Piece } from "./pieces";
import { classBody, tableSet } from "./unicode";

/** The normalizer of a base64 text. */
export function characterMap(base64: string): (piece: Piece) => Piece {
  const blob = Buffer.from(base64, "base64");
  const size = blob.length >= 4 ? blob.readUInt32LE(0) : 0;
  if (size % 4 !== 0 || 4 + size > blob.length || size === 0)
    throw misshapen("normalizer Precompiled has a damaged character map");
  const units = new Uint32Array(size / 4);
  for (let index = 0; index < units.length; index++) units[index] = blob.readUInt32LE(4 + 4 * index);
  const texts = blob.subarray(4 + size);
  const kept = new Map<string, string | undefined>();
  const found = (chunk: string): string | undefined => {
    if (!kept.has(chunk)) kept.set(chunk, firstPrefix(units, texts, Buffer.from(chunk)));
    if (kept.size > 1 << 16) kept.clear();
    return kept.get(chunk) ?? (kept.has(chunk) ? undefined : firstPrefix(units, texts, Buffer.from(chunk)));
  };
  return (piece) => {
    const changes: Change[] = [];
    for (const [cluster] of piece.text.matchAll(clusters())) {
      const whole = Buffer.byteLength(cluster) < 6 ? found(cluster) : undefined;
      if (whole !== undefined) replace(changes, cluster, whole);
      else
        for (const character of cluster) {
          const part = found(character);
          if (part === undefined) changes.push([character, 0]);
          else replace(changes, character, part);
        }
    }
    return changed(piece, changes.map(([character]) => character).join(""), headOf(piece, changes));
  };
}

/** A new character, and how Rust counts it: 1 is added, 0 stands for one old character, −n for one and the n behind it. */
type Change = [character: string, count: number];

/** What is removed counts with the last character before it; at the very beginning, there is none, and it counts nowhere. */
function replace(changes: Change[], old: string, made: string): void {
  const characters = Array.from(made);
  const more = characters.length - Array.from(old).length;
  characters.forEach((character, index) => changes.push([character, index >= characters.length - more ? 1 : 0]));
  const last = changes.at(-1);
  if (more < 0 && last !== undefined) last[1] += more;
}

/** How much of the new text Rust aligns with the first character of the old one. */
function headOf({ text, head }: Piece, changes: readonly Change[]): number {
  const old = Array.from(text);
  let [size, at, units] = [0, 0, 0];
  for (const [character, count] of changes) {
    if (units - (count > 0 ? 1 : 0) >= head && units > 0) return size;
    if (head <= 0) return size;
    size += character.length;
    for (let taken = count > 0 ? 0 : 1 - count; taken > 0 && at < old.length; taken--) units += old[at++].length;
  }
  return size;
}

/** What the shortest entry that begins the bytes maps to. */
function firstPrefix(units: Uint32Array, texts: Buffer, bytes: Buffer): string | undefined {
  const offset = (unit: number): number => (unit >>> 10) << ((unit & (1 << 9)) >>> 6);
  const unitAt = (index: number): number => {
    if (index < units.length) return units[index];
    throw misshapen("normalizer Precompiled has a damaged character map");
  };
  let at = offset(unitAt(0));
  for (const byte of bytes) {
    if (byte === 0) return undefined;
    at ^= byte;
    const unit = unitAt(at);
    if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
    at ^= offset(unit);
    if ((unit >>> 8) & 1) return textAt(texts, unitAt(at) & 0x7fffffff);
  }
  return undefined;
}

function textAt(texts: Buffer, start: number): string {
  const end = texts.indexOf(0, start);
  return texts.toString("utf8", start, end < 0 ? texts.length : end);
}

let clusterExpression: RegExp | undefined;

/** Extended grapheme clusters (Unicode Standard Annex 29) with Rust's tables for the characters that join their neighbours. */
function clusters(): RegExp {
  clusterExpression ??= new RegExp(clusterSource(), "gu");
  return clusterExpression;
}

function clusterSource(): string {
  const joins = `[${classBody(tableSet("grapheme.joins"))}]`;
  const leads = `[${classBody(tableSet("grapheme.leads"))}]`;
  const control =
    "[\\p{Cc}\\p{Zl}\\p{Zp}\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff0-\\ufffb]";
  const hangul =
    "[\\u1100-\\u115f\\ua960-\\ua97c]*(?:[\\uac00-\\ud7a3][\\u1160-\\u11a7\\ud7b0-\\ud7c6]*|[\\u1160-\\u11a7\\ud7b0-\\ud7c6]+)[\\u11a8-\\u11ff\\ud7cb-\\ud7fb]*|[\\u1100-\\u115f\\ua960-\\ua97c]+|[\\u11a8-\\u11ff\\ud7cb-\\ud7fb]+";
  const flags = "[\\u{1f1e6}-\\u{1f1ff}]{2}";
  const picture = `\\p{Extended_Pictographic}(?:(?:(?!\\u200d)${joins})*\\u200d\\p{Extended_Pictographic})*`;
  const conjunct = `${consonants}(?:(?:(?!${linkers})${joins})*${linkers}${joins}*${consonants})+`;
  const core = `(?:${hangul}|${flags}|${conjunct}|${picture}|(?!${control})[^])`;
  return `\\r\\n|${control}|${leads}*${core}${joins}*|${leads}+${joins}*|[^]`;
}

/** Letters and signs of the six scripts whose consonants join (Indic_Conjunct_Break). */
const consonants =
  "[\\u0915-\\u0939\\u0958-\\u095f\\u0978-\\u097f\\u0995-\\u09a8\\u09aa-\\u09b0\\u09b2\\u09b6-\\u09b9\\u09dc\\u09dd\\u09df\\u09f0\\u09f1" +
  "\\u0a95-\\u0aa8\\u0aaa-\\u0ab0\\u0ab2\\u0ab3\\u0ab5-\\u0ab9\\u0af9\\u0b15-\\u0b28\\u0b2a-\\u0b30\\u0b32\\u0b33\\u0b35-\\u0b39\\u0b5c\\u0b5d\\u0b5f\\u0b71" +
  "\\u0c15-\\u0c28\\u0c2a-\\u0c39\\u0c58-\\u0c5a\\u0d15-\\u0d3a]";
const linkers = "[\\u094d\\u09cd\\u0acd\\u0b4d\\u0c4d\\u0d4d]";
