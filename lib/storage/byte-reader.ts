// Reads an untrusted file from front to back through a small window, giving the event loop back on long runs.
import type { OpenFile } from "./files";
import { corrupt } from "./listing";
import { pacer } from "../pacing";

export interface ByteReader {
  readonly path: string;
  position(): number;
  bytes(length: number): Promise<Buffer>;
  /** Fills the target with the next bytes. */
  into(target: Uint8Array): Promise<void>;
  /** A 64-bit count of at most `most`. */
  count(what: string, most: number): Promise<number>;
  /** A text with its 64-bit length before it. */
  text(what: string, longest: number): Promise<string>;
  /** The same where it is already in memory and the loop need not rest, else undefined: for long lists. */
  textAtHand(longest: number): string | undefined;
  /** Refuses to go on unless the file has this many bytes more. */
  requireLeft(bytes: number): void;
}

const windowBytes = 1 << 18;
const textsPerTurn = 512;

export function byteReader(file: OpenFile): ByteReader {
  let window: Buffer = Buffer.alloc(0);
  let [start, at, sinceTurn] = [0, 0, 0];
  const pace = pacer();
  const position = () => start + at;
  const requireLeft = (bytes: number): void => {
    if (bytes > file.size - position()) throw corrupt(file.path, `ends at byte ${file.size}, within its header`);
  };
  const bytes = async (length: number): Promise<Buffer> => {
    requireLeft(length);
    if (at + length > window.length) {
      start = position();
      at = 0;
      window = await file.read(start, Math.min(file.size - start, Math.max(windowBytes, length)));
    }
    await pace();
    at += length;
    return window.subarray(at - length, at);
  };
  const into = async (target: Uint8Array): Promise<void> => {
    requireLeft(target.byteLength);
    const from = position();
    await file.readInto(target, from);
    [start, at, window] = [from + target.byteLength, 0, Buffer.alloc(0)];
  };
  const count = async (what: string, most: number): Promise<number> => {
    const value = (await bytes(8)).readBigUInt64LE();
    if (value > BigInt(most)) throw corrupt(file.path, `claims ${value} ${what}; at most ${most} are allowed`);
    return Number(value);
  };
  const text = async (what: string, longest: number): Promise<string> => {
    sinceTurn = 0;
    return (await bytes(await count(`bytes for ${what}`, longest))).toString("utf8");
  };
  const textAtHand = (longest: number): string | undefined => {
    if (sinceTurn >= textsPerTurn || at + 8 > window.length) return undefined;
    const length = Number(window.readBigUInt64LE(at));
    if (length > longest || at + 8 + length > window.length) return undefined;
    sinceTurn++;
    at += 8 + length;
    return window.toString("utf8", at - length, at);
  };
  return { path: file.path, position, bytes, into, count, text, textAtHand, requireLeft };
}
