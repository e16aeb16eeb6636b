// Pre-tokenizers: the second component, from a text to the words that the model sees one by one, each as the Rust tokenizers do it.
import { utf8Symbols } from "./byte-symbols";
import { patternOf, replaced } from "./normalizers";
import {
  countOf,
  flagOf,
  type Json,
  listAt,
  mapped,
  misshapen,
  type Piece,
  prepended,
  slice,
  textOf,
  typeOf,
  unsupported,
} from "./pieces";
import { type Expression, literalExpression, matchesOf, regularExpression, setExpression } from "./regular-expression";
import { complement, intersection, lastCodePoint, tableSet } from "./unicode";

/** From pieces to smaller ones; pieces that are added tokens never come here. */
export type PreTokenizer = (piece: Piece) => Piece[];

/** The pre-tokenizer that tokenizer.json describes; none leaves the text whole. */
export function preTokenizerOf(part: unknown): PreTokenizer {
  if (part === null || part === undefined) return (piece) => [piece];
  const { json, type } = typeOf(part, "pre-tokenizer");
  const make = Object.hasOwn(makers, type) ? makers[type] : undefined;
  if (make === undefined) throw unsupported(`the pre-tokenizer "${type}"`);
  return make(json);
}

const behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
type Behavior = (typeof behaviors)[number];

const makers: Readonly<Record<string, (json: Json) => PreTokenizer>> = {
  Sequence: (json) =>
    listAt(json, "pretokenizers", "pre-tokenizer Sequence")
      .map(preTokenizerOf)
      .reduce<PreTokenizer>(inTurn, (piece) => [piece]),
  ByteLevel: byteLevel,
  Whitespace: () => {
    const other = tableSet("rust.whitespaceCut");
    const marks = intersection(other, complement(tableSet("rust.space")));
    return cutting(either(setExpression(complement(other), "+"), setExpression(marks, "+")), "Removed", true);
  },
  WhitespaceSplit: () => cutting(setExpression(tableSet("rust.space")), "Removed"),
  BertPreTokenizer: () =>
    inTurn(
      cutting(setExpression(tableSet("rust.space")), "Removed"),
      cutting(setExpression(tableSet("rust.punctuation")), "Isolated"),
    ),
  Digits: (json) =>
    cutting(
      setExpression(tableSet("rust.numeric")),
      flagOf(json, "individual_digits", false) ? "Isolated" : "Contiguous",
    ),
  Punctuation: (json) => cutting(setExpression(tableSet("rust.punctuation")), behaviorOf(json, "Isolated")),
  CharDelimiterSplit: (json) => {
    const delimiter = textOf(json, "delimiter", "pre-tokenizer CharDelimiterSplit");
    if ([...delimiter].length !== 1)
      throw misshapen("pre-tokenizer CharDelimiterSplit has a delimiter of several characters");
    return cutting(literalExpression(delimiter), "Removed");
  },
  Split: (json) => cutting(patternOf(json, "pre-tokenizer Split"), behaviorOf(json), flagOf(json, "invert", false)),
  Metaspace: metaspace,
  FixedLength: (json) => {
    const length = countOf(json, "length", 5);
    if (length === 0) throw misshapen("pre-tokenizer FixedLength has the length 0");
    return cutting(setExpression([0, lastCodePoint], `{1,${length}}`), "Removed", true);
  },
};

function inTurn(first: PreTokenizer, second: PreTokenizer): PreTokenizer {
  return (piece) => first(piece).flatMap((part) => (part.text === "" ? [] : second(part)));
}

function either(first: Expression, second: Expression): Expression {
  const joined = (a: RegExp, b: RegExp): RegExp => new RegExp(`${a.source}|${b.source}`, "gu");
  return { all: joined(first.all, second.all), ascii: joined(first.ascii, second.ascii) };
}

function behaviorOf(json: Json, fallback?: Behavior): Behavior {
  const behavior = json["behavior"] ?? fallback;
  const known = behaviors.find((name) => name === behavior);
  if (known !== undefined) return known;
  throw unsupported(`the behavior ${JSON.stringify(behavior)}`);
}

/** Cuts where the expression matches; `invert` exchanges what matches and what lies between. */
function cutting(expression: Expression, behavior: Behavior, invert = false): PreTokenizer {
  return (piece) => {
    const spans: [start: number, end: number, matches: boolean][] = [];
    let last = 0;
    const bounds = matchesOf(expression, piece.text);
    for (let index = 0; index < bounds.length; index += 2) {
      const [start, end] = [bounds[index], bounds[index + 1]];
      if (start > last) spans.push([last, start, invert]);
      spans.push([start, end, !invert]);
      last = end;
    }
    if (last < piece.text.length || piece.text === "") spans.push([last, piece.text.length, invert]);
    return arranged(spans, behavior)
      .filter(([start, end]) => end > start)
      .map(([start, end]) => slice(piece, start, end));
  };
}

type Span = [start: number, end: number, matches: boolean];

/** Spans by what becomes of those that match. */
function arranged(spans: Span[], behavior: Behavior): Span[] {
  switch (behavior) {
    case "Removed":
      return spans.filter(([, , matches]) => !matches);
    case "Isolated":
      return spans;
    case "Contiguous":
      return joinedWhere(spans, (matches, before) => matches === before);
    case "MergedWithPrevious":
      return joinedWhere(spans, (matches, before) => matches && !before);
    case "MergedWithNext":
      return joinedWhere(spans.reverse(), (matches, before) => matches && !before).reverse();
  }
}

/** Each span joins the last one where `joins` says so (of the first span, the one before does not match). */
function joinedWhere(spans: Span[], joins: (matches: boolean, before: boolean) => boolean): Span[] {
  const out: Span[] = [];
  let before = false;
  for (const [start, end, matches] of spans) {
    const last = out.at(-1);
    if (joins(matches, before) && last !== undefined) {
      last[0] = Math.min(last[0], start);
      last[1] = Math.max(last[1], end);
    } else out.push([start, end, matches]);
    before = matches;
  }
  return out;
}

const gpt2Words = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

function byteLevel(json: Json): PreTokenizer {
  const spaced = flagOf(json, "add_prefix_space", true);
  const cut: PreTokenizer = flagOf(json, "use_regex", true)
    ? cutting(regularExpression(gpt2Words), "Isolated")
    : (piece) => [piece];
  return (piece) =>
    cut(spaced && !piece.text.startsWith(" ") ? prepended(piece, " ") : piece).map((part) => mapped(part, utf8Symbols));
}

const schemes: readonly unknown[] = ["always", "first", "never"];

function metaspace(json: Json): PreTokenizer {
  const mark = textOf(json, "replacement", "pre-tokenizer Metaspace", "▁");
  if ([...mark].length !== 1) throw misshapen("pre-tokenizer Metaspace has a replacement of several characters");
  const scheme = json["prepend_scheme"] ?? (json["add_prefix_space"] === false ? "never" : "always");
  if (!schemes.includes(scheme)) throw unsupported(`the prepend_scheme ${JSON.stringify(scheme)}`);
  const cut = flagOf(json, "split", true) ? cutting(literalExpression(mark), "MergedWithNext") : undefined;
  const space = literalExpression(" ");
  return (piece) => {
    const marked = replaced(piece, space, mark);
    const wanted = scheme === "always" || (scheme === "first" && marked.head >= 0);
    const whole = wanted && !marked.text.startsWith(mark) ? prepended(marked, mark) : marked;
    return cut === undefined ? [whole] : cut(whole);
  };
}
