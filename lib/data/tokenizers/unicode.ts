// Sets of characters as the Rust tokenizers and their Oniguruma know them (unicode-tables.ts). Node's own tables are of another
// Unicode version, so they are not asked.
import { unicodeTables } from "./unicode-tables";

/** Inclusive ranges of code points, in order: first, last, first, last, … */
export type Ranges = readonly number[];
export type TableName = keyof typeof unicodeTables;

export const lastCodePoint = 0x10ffff;
const kept = new Map<string, Ranges>();

function once(name: string, make: () => Ranges): Ranges {
  const ranges = kept.get(name) ?? make();
  kept.set(name, ranges);
  return ranges;
}

/** The set of a table of runs. */
export function tableSet(name: Exclude<TableName, "generalCategories" | "lower" | "lowerSeveral">): Ranges {
  return once(name, () => {
    const ranges: number[] = [];
    let at = 0;
    unicodeTables[name].split(",").forEach((length, index) => {
      const next = at + parseInt(length, 36);
      if (index % 2 === 1) ranges.push(at, next - 1);
      at = next;
    });
    return ranges;
  });
}

const categories = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split(" ");
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_$!";

/** The set of a general category as Oniguruma has it: "Lu", or "L" for all that begin so. Undefined for another name. */
export function categorySet(name: string): Ranges | undefined {
  const wanted = categories.filter((category) => category === name || category.startsWith(name));
  if (name === "" || name.length > 2 || wanted.length === 0) return undefined;
  return once(`category.${name}`, () => {
    const marks = new Set(wanted.map((category) => letters[categories.indexOf(category)]));
    if (name === "C") marks.add("-");
    const ranges: number[] = [];
    let at = 0;
    for (const run of unicodeTables.generalCategories.split(",")) {
      const next = at + parseInt(run.slice(1), 36);
      if (marks.has(run[0])) ranges.push(at, next - 1);
      at = next;
    }
    return joined(ranges);
  });
}

/** The union of sets. */
export function union(...sets: readonly Ranges[]): Ranges {
  const pairs = sets.flatMap((ranges) => pairsOf(ranges)).sort(([a], [b]) => a - b);
  return joined(pairs.flat());
}

/** What a set leaves out. */
export function complement(ranges: Ranges): Ranges {
  const outside: number[] = [];
  let next = 0;
  for (const [first, last] of pairsOf(ranges)) {
    if (first > next) outside.push(next, first - 1);
    next = last + 1;
  }
  if (next <= lastCodePoint) outside.push(next, lastCodePoint);
  return outside;
}

export function intersection(a: Ranges, b: Ranges): Ranges {
  return complement(union(complement(a), complement(b)));
}

/** Whether the set holds a code point. */
export function holds(ranges: Ranges, code: number): boolean {
  let [low, high] = [0, ranges.length / 2];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[2 * middle + 1] < code) low = middle + 1;
    else high = middle;
  }
  return 2 * low < ranges.length && ranges[2 * low] <= code;
}

/** The set as the inside of a class of a regular expression with the flag u: `[${body}]`; empty for the empty set. */
export function classBody(ranges: Ranges): string {
  return pairsOf(ranges)
    .map(([first, last]) => (first === last ? escape(first) : `${escape(first)}-${escape(last)}`))
    .join("");
}

function escape(code: number): string {
  return `\\u{${code.toString(16)}}`;
}

function pairsOf(ranges: Ranges): [number, number][] {
  return Array.from({ length: ranges.length / 2 }, (_, index) => [ranges[2 * index], ranges[2 * index + 1]]);
}

/** Ranges in order of their beginnings, with those that touch or overlap made one. */
function joined(ranges: Ranges): Ranges {
  const out: number[] = [];
  for (const [first, last] of pairsOf(ranges)) {
    if (out.length > 0 && first <= out[out.length - 1] + 1) out[out.length - 1] = Math.max(out[out.length - 1], last);
    else out.push(first, last);
  }
  return out;
}

/** Small letters by capital ones, each character alone (so a final sigma is a sigma), as Rust has them. */
export const lowerCase: ReadonlyMap<string, string> = lowerCaseMap();

function lowerCaseMap(): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (const range of unicodeTables.lower.split(";")) {
    const [start, count, step, distance] = range.split(",").map(Number);
    for (let index = 0; index < count; index++) {
      const code = start + index * step;
      map.set(String.fromCodePoint(code), String.fromCodePoint(code + distance));
    }
  }
  for (const pair of unicodeTables.lowerSeveral.split(";")) {
    const [code, small] = pair.split(",");
    map.set(String.fromCodePoint(Number(code)), small);
  }
  return map;
}
