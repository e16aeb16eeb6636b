// Streams of text from a file: decoded pieces, and lines with their numbers. Never the whole file at once.
// Refuses what is no UTF-8, and records so long that parsing one would hold the event loop.
import { AttributionError } from "../errors";
import { readBytes } from "./read-bytes";

export interface Line {
  readonly text: string;
  readonly number: number;
}

/** A JSON value or table row of more characters than this is refused: no data set has one, a damaged file may. */
export const longestRecord = 1 << 20;

/** A file that does not hold what it should: where, and what was wrong. */
export function corruptAt(path: string, line: number, what: string, cause?: unknown): AttributionError {
  return new AttributionError("corrupt", `${path}:${line}: ${what}`, { cause });
}

/** Decoded pieces of the file, without its byte order mark. */
export async function* readPieces(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 1;
  const decode = (bytes?: Uint8Array): string => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch (cause) {
      throw corruptAt(path, line, "is not valid UTF-8 here or shortly after", cause);
    }
  };
  for await (const bytes of readBytes(path)) {
    const piece = decode(bytes);
    if (piece !== "") yield piece;
    line += countLineBreaks(bytes);
  }
  const rest = decode();
  if (rest !== "") yield rest;
}

/** Lines without their line break ("\n" or "\r\n"); a last empty one is left out. */
export async function* readLines(path: string): AsyncGenerator<Line> {
  let number = 1;
  let open = "";
  for await (const piece of readPieces(path)) {
    const lines = piece.split("\n");
    lines[0] = open + lines[0];
    open = lines.pop()!;
    for (const text of lines) yield { text: text.endsWith("\r") ? text.slice(0, -1) : text, number: number++ };
    if (open.length > longestRecord)
      throw corruptAt(path, number, `is a line of more than ${longestRecord} characters`);
  }
  if (open !== "") yield { text: open.endsWith("\r") ? open.slice(0, -1) : open, number };
}

/** The first character that is no space: what kind of file it is. */
export async function firstCharacter(path: string): Promise<string> {
  for await (const piece of readPieces(path)) {
    const text = piece.trimStart();
    if (text !== "") return text[0];
  }
  throw new AttributionError("corrupt", `${path} is empty`);
}

function countLineBreaks(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
  return count;
}
