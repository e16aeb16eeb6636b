// The entries of a large untrusted JSON object, found byte by byte so that neither its size nor its depth holds the event
// loop, and so that a name given twice is seen (JSON.parse keeps the last one in silence).
import { corrupt } from "./listing";
import { pacer } from "../pacing";

export interface JsonEntry {
  readonly name: string;
  /** The value's own text, not yet parsed. */
  readonly value: Buffer;
  /** First byte of the value within the object's bytes. */
  readonly start: number;
}

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];
const longestName = 1 << 12;
const longestString = 1 << 20;

/** Lists the entries of the object that fills `bytes`; refuses more than `mostEntries`, and names given twice. */
export async function jsonEntries(file: string, bytes: Buffer, mostEntries = 65_536): Promise<JsonEntry[]> {
  const pace = pacer();
  const entries: JsonEntry[] = [];
  const names = new Set<string>();
  let at = skipSpace(bytes, expectByte(file, bytes, skipSpace(bytes, 0), openBrace));
  for (let first = true; bytes[at] !== closeBrace || !first; first = false) {
    const nameEnd = stringEnd(file, bytes, at);
    const name = parseName(file, bytes.subarray(at, nameEnd));
    const start = skipSpace(bytes, expectByte(file, bytes, skipSpace(bytes, nameEnd), colon));
    const end = await valueEnd(file, bytes, start, pace);
    if (names.has(name)) throw corrupt(file, `names "${name}" twice`);
    if (names.size >= mostEntries) throw corrupt(file, `has more than ${mostEntries} entries`);
    names.add(name);
    entries.push({ name, value: bytes.subarray(start, end), start });
    at = skipSpace(bytes, end);
    if (bytes[at] === closeBrace) break;
    at = skipSpace(bytes, expectByte(file, bytes, at, comma));
    await pace();
  }
  if (skipSpace(bytes, at + 1) < bytes.length) throw corrupt(file, "has text after its JSON object");
  return entries;
}

/** Parses one entry's value of at most `limit` bytes. */
export function parseEntry(file: string, entry: JsonEntry, limit = 1 << 14): unknown {
  if (entry.value.length > limit)
    throw corrupt(file, `expected "${entry.name}" within ${limit} bytes but found ${entry.value.length}`);
  try {
    return JSON.parse(entry.value.toString("utf8"));
  } catch (cause) {
    throw corrupt(file, `the entry "${entry.name}" is not valid JSON`, cause);
  }
}

function parseName(file: string, bytes: Buffer): string {
  if (bytes.length > longestName) throw corrupt(file, `has a name of ${bytes.length} bytes`);
  try {
    return JSON.parse(bytes.toString("utf8")) as string;
  } catch (cause) {
    throw corrupt(file, "has a name that is not valid JSON", cause);
  }
}

function skipSpace(bytes: Buffer, at: number): number {
  while (at < bytes.length && (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09))
    at++;
  return at;
}

function expectByte(file: string, bytes: Buffer, at: number, byte: number): number {
  if (bytes[at] === byte) return at + 1;
  const found = at < bytes.length ? `"${String.fromCharCode(bytes[at] ?? 0)}"` : "the end";
  throw corrupt(file, `expected "${String.fromCharCode(byte)}" at byte ${at} of its JSON but found ${found}`);
}

function stringEnd(file: string, bytes: Buffer, start: number): number {
  expectByte(file, bytes, start, quote);
  const limit = Math.min(bytes.length, start + longestString);
  for (let at = start + 1; at < limit; at++) {
    if (bytes[at] === backslash) at++;
    else if (bytes[at] === quote) return at + 1;
  }
  throw corrupt(
    file,
    limit < bytes.length ? `has a JSON string longer than ${longestString} bytes` : "ends within a JSON string",
  );
}

/** First byte after the value that starts at `start`. */
async function valueEnd(
  file: string,
  bytes: Buffer,
  start: number,
  pace: () => Promise<void> | undefined,
): Promise<number> {
  let depth = 0;
  for (let at = start, steps = 1; at < bytes.length; at++, steps++) {
    const byte = bytes[at];
    if (byte === quote) at = stringEnd(file, bytes, at) - 1;
    else if (byte === openBrace || byte === openBracket) depth++;
    else if (depth === 0 && (byte === comma || byte === closeBrace)) return at;
    else if (byte === closeBrace || byte === closeBracket) depth--;
    if (depth < 0) throw corrupt(file, `has an unmatched bracket at byte ${at} of its JSON`);
    if ((steps & 0xfff) === 0) await pace();
  }
  throw corrupt(file, "ends within a JSON value");
}
