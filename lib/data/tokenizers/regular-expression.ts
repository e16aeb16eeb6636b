// A tokenizer's regular expressions are Oniguruma's. This writes them as JavaScript's, with the same matches in the same order,
// or refuses them: classes are spelt out from Oniguruma's tables, and what the two read differently is rewritten.
import { shown } from "../../errors";
import { unsupported } from "./pieces";
import {
  categorySet,
  classBody,
  complement,
  holds,
  intersection,
  lastCodePoint,
  type Ranges,
  tableSet,
  type TableName,
  union,
} from "./unicode";

/** A part of a pattern: JavaScript's text for it, and whether it can match nothing. */
interface Part {
  readonly source: string;
  readonly nullable: boolean;
}

interface Scan {
  readonly pattern: string;
  at: number;
  /** Atomic groups so far; each needs a name. */
  groups: number;
  /** Write classes for texts of ASCII only. */
  readonly ascii: boolean;
}

/** A pattern in the two forms that find the same: for all texts, and a faster one for texts of ASCII only. */
export interface Expression {
  readonly all: RegExp;
  readonly ascii: RegExp;
}

interface Mode {
  readonly ignoreCase: boolean;
  /** Within (?<=…): JavaScript reads it backwards. */
  readonly behind: boolean;
}

/** An expression that finds what Oniguruma finds. */
export function regularExpression(pattern: string): Expression {
  return { all: written(pattern, false), ascii: written(pattern, true) };
}

function written(pattern: string, ascii: boolean): RegExp {
  const scan: Scan = { pattern, at: 0, groups: 0, ascii };
  const { source } = alternatives(scan, { ignoreCase: false, behind: false });
  if (scan.at < pattern.length) throw refused(scan, "a parenthesis that closes nothing");
  return new RegExp(source, "gu");
}

/** The text itself as an expression. */
export function literalExpression(text: string): Expression {
  const all = new RegExp(Array.from(text, literal).join(""), "gu");
  return { all, ascii: all };
}

/** An expression for one character of a set, or for as many as `times` says ("+", "{1,3}"). */
export function setExpression(set: Ranges, times = ""): Expression {
  const [all, ascii] = [set, intersection(set, asciiSet)].map(
    (ranges) => new RegExp(`${classOf(ranges)}${times}`, "gu"),
  );
  return { all, ascii };
}

const asciiSet: Ranges = [0, 127];

// eslint-disable-next-line no-control-regex
export const onlyAscii = /^[\u0000-\u007f]*$/;

/** Start and end of each match in turn, as Oniguruma's iterator gives them: no empty match right behind another match. */
export function matchesOf({ all, ascii }: Expression, text: string): readonly number[] {
  const expression = onlyAscii.test(text) ? ascii : all;
  const bounds: number[] = [];
  let [at, lastEnd] = [0, -1];
  while (at <= text.length) {
    expression.lastIndex = at;
    const found = expression.exec(text);
    if (found === null) break;
    const [start, end] = [found.index, found.index + found[0].length];
    if (start === end && (end === lastEnd || splitsPair(text, start))) {
      at = start + ((text.codePointAt(start) ?? 0) > 0xffff ? 2 : 1);
      continue;
    }
    at = lastEnd = end;
    bounds.push(start, end);
  }
  return bounds;
}

/** What matches nothing, V8 finds between the halves of a surrogate pair too. */
function splitsPair(text: string, at: number): boolean {
  return at > 0 && text.codePointAt(at - 1)! > 0xffff;
}

function refused(scan: Scan, what: string): Error {
  return unsupported(`the regular expression ${shown(scan.pattern)} with ${what}`);
}

function alternatives(scan: Scan, mode: Mode): Part {
  const parts = [sequence(scan, mode)];
  while (scan.pattern[scan.at] === "|") {
    scan.at++;
    parts.push(sequence(scan, mode));
  }
  return { source: parts.map(({ source }) => source).join("|"), nullable: parts.some(({ nullable }) => nullable) };
}

/** Two letters that a foldable single character stands for, such as "ss" for "ß": Oniguruma joins them when it ignores case. */
const foldedPairs = /ss|ff|fi|fl|st/i;

function sequence(scan: Scan, mode: Mode): Part {
  let [source, nullable, letters] = ["", true, ""];
  while (scan.at < scan.pattern.length && !/[|)]/.test(scan.pattern[scan.at])) {
    const start = scan.at;
    const part = quantified(scan, mode, atom(scan, mode));
    const text = scan.pattern.slice(start, scan.at);
    letters = [...text].length === 1 ? letters + text : "";
    if (mode.ignoreCase && foldedPairs.test(letters)) throw refused(scan, "letters that fold into one");
    source += part.source;
    nullable = nullable && part.nullable;
  }
  return { source, nullable };
}

function atom(scan: Scan, mode: Mode): Part {
  const character = String.fromCodePoint(scan.pattern.codePointAt(scan.at)!);
  switch (character) {
    case "(":
      return group(scan, mode);
    case "[":
      return { source: classSource(scan, bracket(scan, mode)), nullable: false };
    case "\\":
      return escaped(scan, mode);
    case "*":
    case "+":
    case "?":
      throw refused(scan, `a ${character} behind nothing`);
  }
  scan.at += character.length;
  const simple = simpleAtoms[character];
  if (simple !== undefined) return simple;
  return { source: classSource(scan, folded(scan, one(character), mode)), nullable: false };
}

const simpleAtoms: Readonly<Record<string, Part | undefined>> = {
  ".": { source: "[^\\n]", nullable: false },
  "^": { source: "(?:(?<![^])|(?<=\\n)(?=[^]))", nullable: true },
  $: { source: "(?![^\\n])", nullable: true },
};

function group(scan: Scan, mode: Mode): Part {
  const rest = scan.pattern.slice(scan.at);
  const opening = /^\((?:\?(?:#[^)]*|[:=!>]|<[=!]|<[A-Za-z_]\w*>|i:|-i:))?/.exec(rest)![0];
  scan.at += opening.length;
  if (opening.startsWith("(?#")) {
    scan.at++;
    return { source: "", nullable: true };
  }
  if (opening === "(" && rest[1] === "?") throw refused(scan, `${rest.slice(0, 4)}…`);
  const behind = mode.behind || opening.startsWith("(?<=") || opening.startsWith("(?<!");
  const ignoreCase = opening === "(?i:" ? true : opening === "(?-i:" ? false : mode.ignoreCase;
  const inner = alternatives(scan, { ignoreCase, behind });
  if (scan.pattern[scan.at] !== ")") throw refused(scan, "a parenthesis that is not closed");
  scan.at++;
  if (/^\(\?<?[=!]$/.test(opening)) return { source: `${opening}${inner.source})`, nullable: true };
  if (opening === "(?>") return atomic(scan, mode, inner);
  return { source: `(?:${inner.source})`, nullable: inner.nullable };
}

/** What matched once is not given back: a group that looks ahead, and then itself. */
function atomic(scan: Scan, mode: Mode, inner: Part): Part {
  if (mode.behind) throw refused(scan, "an atomic group that looks back");
  const name = `a${scan.groups++}`;
  return { source: `(?:(?=(?<${name}>${inner.source}))\\k<${name}>)`, nullable: inner.nullable };
}

function quantified(scan: Scan, mode: Mode, part: Part): Part {
  const found = /^(?:([*+?])|\{(\d*)(,?)(\d*)\})([?+]?)/.exec(scan.pattern.slice(scan.at));
  if (found === null) return part;
  const [whole, sign, low, comma, high, suffix] = found;
  if (sign === undefined && low === "" && high === "") return part;
  scan.at += whole.length;
  if (sign === undefined && comma === "" && suffix === "?") throw refused(scan, `the repetition ${whole}`);
  const least = sign === undefined ? Number(low || 0) : sign === "+" ? 1 : 0;
  const most =
    sign === undefined ? (comma === "" ? least : high === "" ? Infinity : Number(high)) : sign === "?" ? 1 : Infinity;
  if (most < least || (most !== Infinity && most > 1000)) throw refused(scan, `the repetition ${whole}`);
  if (part.nullable && most > 1) throw refused(scan, "a repetition of what can be empty");
  const nullable = part.nullable || least === 0;
  const times = sign ?? (most === Infinity ? `{${least},}` : `{${least},${most}}`);
  const once: Part = { source: `(?:${part.source})${times}${suffix === "?" ? "?" : ""}`, nullable };
  if (suffix === "+" && sign !== undefined) return atomic(scan, mode, once);
  // Behind an interval, a + is one more repetition.
  if (suffix === "+") {
    if (nullable) throw refused(scan, "a repetition of what can be empty");
    return { source: `(?:${once.source})+`, nullable };
  }
  if (/^[*+?]/.test(scan.pattern.slice(scan.at))) throw refused(scan, "a repetition of a repetition");
  return once;
}

const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, a: 7, e: 27 };
const word = (): Ranges => tableSet("oniguruma.word");
/** Oniguruma's \w takes ², ³, ¹, ¼, ½ and ¾ for letters of words, but not within brackets. */
const wordInBrackets = (): Ranges => intersection(word(), complement([0xb2, 0xb3, 0xb9, 0xb9, 0xbc, 0xbe]));
const kinds: Readonly<Record<string, () => Ranges>> = {
  w: word,
  s: () => tableSet("oniguruma.space"),
  d: () => categorySet("Nd")!,
  h: () => [48, 57, 65, 70, 97, 102],
};

function escaped(scan: Scan, mode: Mode): Part {
  const letter = scan.pattern[scan.at + 1];
  const boundary = { A: "(?<![^])", z: "(?![^])", Z: "(?=\\n?(?![^]))", b: wordBoundary, B: `(?!${wordBoundary})` }[
    letter
  ];
  if (boundary !== undefined) {
    scan.at += 2;
    return { source: boundary, nullable: true };
  }
  return { source: classSource(scan, escapedSet(scan, mode, false)), nullable: false };
}

const wordClass = classOf(word());
const wordBoundary = `(?:(?<=${wordClass})(?!${wordClass})|(?<!${wordClass})(?=${wordClass}))`;

/** The characters that an escape stands for, inside and outside of brackets. */
function escapedSet(scan: Scan, mode: Mode, inBrackets: boolean): Ranges {
  const rest = scan.pattern.slice(scan.at);
  const property = /^\\([pP])\{(\^?)([^}]*)\}/.exec(rest);
  if (property !== null) {
    scan.at += property[0].length;
    const set = propertySet(scan, property[3]);
    if (mode.ignoreCase) throw refused(scan, "a property that ignores case");
    return (property[1] === "P") !== (property[2] === "^") ? complement(set) : set;
  }
  const number = /^\\(?:x([0-9A-Fa-f]{1,2})|x\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4}))/.exec(rest);
  if (number !== null) {
    scan.at += number[0].length;
    const code = parseInt(number[1] ?? number[2] ?? number[3], 16);
    if (code > lastCodePoint || (number[1] !== undefined && code > 127)) throw refused(scan, number[0]);
    return folded(scan, [code, code], mode);
  }
  const character = rest.length > 1 ? String.fromCodePoint(rest.codePointAt(1)!) : "";
  scan.at += 1 + character.length;
  const lower = character.toLowerCase();
  const kind = inBrackets && lower === "w" ? wordInBrackets : kinds[lower];
  if (kind !== undefined) return character === lower ? kind() : complement(kind());
  if (Object.hasOwn(controls, character)) return [controls[character], controls[character]];
  if (character === "" || /[A-Za-z0-9]/.test(character)) throw refused(scan, `\\${character}`);
  return folded(scan, one(character), mode);
}

function propertySet(scan: Scan, name: string): Ranges {
  const plain = name.replace(/[ _-]/g, "").toLowerCase();
  const category = categorySet(plain.slice(0, 1).toUpperCase() + plain.slice(1));
  if (category !== undefined) return category;
  const script = scripts.find((known) => known.toLowerCase() === `script.${plain}`);
  if (script === undefined) throw refused(scan, `the property ${shown(name)}`);
  return tableSet(script);
}

const scripts = "Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Hebrew Thai Devanagari Armenian Georgian"
  .split(" ")
  .map((name) => `script.${name}`) as Extract<TableName, `script.${string}`>[];

/** A class in brackets: ranges, escapes, classes within it, and && for what both sides hold. */
function bracket(scan: Scan, mode: Mode): Ranges {
  scan.at++;
  const negated = scan.pattern[scan.at] === "^";
  if (negated) scan.at++;
  let [set, common, first]: [Ranges, Ranges | undefined, boolean] = [[], undefined, true];
  for (; first || scan.pattern[scan.at] !== "]"; first = false) {
    if (scan.at >= scan.pattern.length) throw refused(scan, "a bracket that is not closed");
    if (scan.pattern.startsWith("&&", scan.at)) {
      scan.at += 2;
      [common, set] = [common === undefined ? set : intersection(common, set), []];
    } else set = union(set, member(scan, mode));
  }
  scan.at++;
  const whole = common === undefined ? set : intersection(common, set);
  return negated ? complement(whole) : whole;
}

function member(scan: Scan, mode: Mode): Ranges {
  if (scan.pattern.startsWith("[:", scan.at)) throw refused(scan, "a class of the kind [:name:]");
  if (scan.pattern[scan.at] === "[") return bracket(scan, mode);
  const low = single(scan, mode);
  const next = scan.pattern[scan.at + 1];
  if (scan.pattern[scan.at] !== "-" || next === "]" || next === undefined) return low;
  if (low.length !== 2 || (low[0] !== low[1] && !mode.ignoreCase)) throw refused(scan, "a range from a class");
  const exact: Mode = { ...mode, ignoreCase: false };
  const from = low[0];
  if (mode.ignoreCase) throw refused(scan, "a range that ignores case");
  scan.at++;
  if (next === "[") throw refused(scan, "a range to a class");
  const high = single(scan, exact);
  if (high.length !== 2 || high[0] !== high[1] || high[0] < from)
    throw refused(scan, "a range that ends before it begins");
  return [from, high[0]];
}

function single(scan: Scan, mode: Mode): Ranges {
  if (scan.pattern[scan.at] === "\\") return escapedSet(scan, mode, true);
  const character = String.fromCodePoint(scan.pattern.codePointAt(scan.at)!);
  scan.at += character.length;
  return folded(scan, one(character), mode);
}

function one(character: string): Ranges {
  const code = character.codePointAt(0)!;
  return [code, code];
}

/** Where case is ignored: the letter in both cases, and the two characters of other scripts that fold to an ASCII letter. */
function folded(scan: Scan, set: Ranges, { ignoreCase }: Mode): Ranges {
  if (!ignoreCase) return set;
  const character = String.fromCodePoint(set[0]);
  if (set[0] > 127) {
    if (holds(categorySet("L")!, set[0])) throw refused(scan, `${shown(character)} that ignores case`);
    return set;
  }
  const more = { s: one("ſ"), k: one("\u212a") }[character.toLowerCase()] ?? [];
  return union(one(character.toLowerCase()), one(character.toUpperCase()), more);
}

function classSource(scan: Scan, ranges: Ranges): string {
  return classOf(scan.ascii ? intersection(ranges, asciiSet) : ranges);
}

function classOf(ranges: Ranges): string {
  if (ranges.length === 2 && ranges[0] === ranges[1]) return literal(String.fromCodePoint(ranges[0]));
  return ranges.length === 0 ? "[]" : `[${classBody(ranges)}]`;
}

function literal(character: string): string {
  return /[\\^$.*+?()[\]{}|/-]/.test(character) ? `\\u{${character.codePointAt(0)!.toString(16)}}` : character;
}
