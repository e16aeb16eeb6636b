// JSON objects of a file one after the other: one per line (JSONL), or the elements of one big array, which is scanned and
// parsed element by element because JSON.parse of a whole 10 MB file holds the event loop.
import { corruptAt, firstCharacter, longestRecord, readLines, readPieces } from "./read-text";

/** A parsed record and the line it starts on. */
export interface JsonRecord {
  readonly value: Readonly<Record<string, unknown>>;
  readonly line: number;
}

/** Objects of a JSONL file or of a JSON array, whichever the file is. */
export async function* readJsonObjects(path: string): AsyncGenerator<JsonRecord> {
  yield* (await firstCharacter(path)) === "[" ? readJsonArray(path) : readJsonLines(path);
}

async function* readJsonLines(path: string): AsyncGenerator<JsonRecord> {
  for await (const { text, number } of readLines(path)) {
    if (text.trim() !== "") yield parseObject(path, number, text);
  }
}

async function* readJsonArray(path: string): AsyncGenerator<JsonRecord> {
  const scan = arrayScanner(path);
  for await (const piece of readPieces(path)) {
    for (const { text, line } of scan.elements(piece)) yield parseObject(path, line, text);
  }
  scan.end();
}

function parseObject(path: string, line: number, text: string): JsonRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw corruptAt(path, line, `is not valid JSON (${(cause as Error).message})`, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw corruptAt(path, line, "is not a JSON object");
  return { value: value as Record<string, unknown>, line };
}

interface Element {
  readonly text: string;
  readonly line: number;
}
type Place = "before" | "between" | "element" | "after";

/** Cuts a top-level array into the texts of its elements; keeps strings and nesting in mind, leaves the rest to JSON.parse. */
function arrayScanner(path: string): { elements(piece: string): Generator<Element>; end(): void } {
  let place: Place = "before";
  let [depth, line, startLine] = [0, 1, 1];
  let [inString, escaped, comma] = [false, false, false];
  let kept = "";

  /** What an element's character changes; true where the element ends after it. */
  const within = (character: string): boolean => {
    if (inString) {
      if (escaped) escaped = false;
      else if (character === "\\") escaped = true;
      else if (character === '"') inString = false;
      return false;
    }
    if (character === '"') inString = true;
    else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") return --depth === 0;
    return false;
  };
  /** What a character between elements means; true where an element begins with it. */
  const outside = (character: string): boolean => {
    if (place === "before" && character === "[") place = "between";
    else if (place === "between" && character === "{") return true;
    else if (place === "between" && character === ",") comma = expectComma(path, line, comma);
    else if (place === "between" && character === "]") place = "after";
    else if (!/\s/.test(character))
      throw corruptAt(path, line, `expected an array of objects but found "${character}"`);
    return false;
  };
  function* elements(piece: string): Generator<Element> {
    let start = 0;
    for (let at = 0; at < piece.length; at++) {
      const character = piece[at];
      if (character === "\n") line++;
      if (place !== "element") {
        if (!outside(character)) continue;
        if (comma) throw corruptAt(path, line, "expected a comma between two elements");
        [place, start, startLine, depth] = ["element", at, line, 1];
      } else if (within(character)) {
        yield { text: kept + piece.slice(start, at + 1), line: startLine };
        [place, kept, comma] = ["between", "", true];
      }
    }
    if (place === "element") kept += piece.slice(start);
    if (kept.length > longestRecord)
      throw corruptAt(path, startLine, `is an element of more than ${longestRecord} characters`);
  }
  const end = (): void => {
    if (place !== "after")
      throw corruptAt(
        path,
        line,
        `ends inside ${place === "element" ? `the element that begins on line ${startLine}` : "the array"}`,
      );
  };
  return { elements, end };
}

/** `awaited`: an element came last, so that a comma may follow. */
function expectComma(path: string, line: number, awaited: boolean): boolean {
  if (!awaited) throw corruptAt(path, line, "expected an element before the comma");
  return false;
}
