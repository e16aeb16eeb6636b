// The bytes of a file, decompressed where it is compressed by gzip or Zstandard. By its first bytes and not by its name: files in
// caches have others.
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { pipeline, type Transform } from "node:stream";
import * as zlib from "node:zlib";
import { Decompress } from "fzstd";
import { AttributionError } from "../errors";

const pieceBytes = 1 << 16;

export async function requireFile(path: string): Promise<void> {
  const status = await stat(path).catch((cause: unknown) => {
    throw new AttributionError("missing", `Cannot read ${path} (${codeOf(cause)}). Give the path of an existing file`, {
      cause,
    });
  });
  if (!status.isFile()) throw new AttributionError("invalid", `Expected "path" to be a file but ${path} is none`);
}

/** Pieces of the file's content; "corrupt" where a compressed file is damaged or cut off. */
export async function* readBytes(path: string): AsyncGenerator<Uint8Array> {
  const form = await compressionOf(path);
  if (form === "gzip") yield* through(path, "gzip", zlib.createGunzip({ chunkSize: pieceBytes }));
  else if (form === "zstd") yield* readZstd(path);
  else yield* readPlain(path);
}

async function compressionOf(path: string): Promise<"gzip" | "zstd" | undefined> {
  const first = Buffer.alloc(4);
  const handle = await open(path, "r").catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  try {
    await handle.read(first, 0, 4, 0);
  } catch (cause) {
    throw unreadable(path, cause);
  } finally {
    await handle.close();
  }
  // Neither begins as a text in UTF-8 may.
  if (first[0] === 0x1f && first[1] === 0x8b) return "gzip";
  return first.equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd])) ? "zstd" : undefined;
}

async function* readPlain(path: string, highWaterMark = pieceBytes): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of createReadStream(path, { highWaterMark })) yield bytes as Uint8Array;
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

async function* through(path: string, what: string, transform: Transform): AsyncGenerator<Uint8Array> {
  const source = createReadStream(path, { highWaterMark: pieceBytes });
  let failed: unknown;
  source.once("error", (cause) => {
    failed = cause;
  });
  pipeline(source, transform, () => undefined);
  try {
    for await (const bytes of transform) yield bytes as Uint8Array;
  } catch (cause) {
    if (failed !== undefined) throw unreadable(path, failed);
    throw damaged(path, what, cause);
  }
}

/** Node has Zstandard of its own from 22.15 on. */
async function* readZstd(path: string): AsyncGenerator<Uint8Array> {
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };
  if (createZstdDecompress !== undefined) {
    yield* through(path, "Zstandard", createZstdDecompress());
    return;
  }
  const ready: Uint8Array[] = [];
  const decompressor = new Decompress((bytes) => ready.push(bytes));
  const push = (bytes: Uint8Array, final: boolean): void => {
    try {
      decompressor.push(bytes, final);
    } catch (cause) {
      throw damaged(path, "Zstandard", cause);
    }
  };
  // Small pieces: each is decompressed at once, and may hold much.
  for await (const bytes of readPlain(path, 4096)) {
    push(bytes, false);
    yield* ready.splice(0);
  }
  push(new Uint8Array(), true);
  yield* ready.splice(0);
}

function damaged(path: string, what: string, cause: unknown): AttributionError {
  const { code, message } = cause as { code?: unknown; message?: string };
  const isCut = code === "Z_BUF_ERROR" || code === 5 || code === "ZSTD_error_srcSize_wrong";
  const words = isCut ? "is cut off" : `is damaged (${message ?? String(cause)})`;
  return new AttributionError("corrupt", `${path}: its ${what} data ${words}. Fetch the file again`, { cause });
}

const unreadable = (path: string, cause: unknown): AttributionError =>
  new AttributionError("missing", `Cannot read ${path} (${codeOf(cause)})`, { cause });

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error);
}
