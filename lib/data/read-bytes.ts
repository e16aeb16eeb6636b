// The bytes of a file, decompressed where it is compressed by gzip or Zstandard. By its first bytes and not by its name: files in
// caches have others.
import type { FileHandle } from "node:fs/promises";
import { pipeline, Readable, type Transform } from "node:stream";
import * as zlib from "node:zlib";
import { Decompress } from "fzstd";
import { AttributionError } from "../errors";
import { openRegularFile, unreadable } from "../storage/regular-file";

const pieceBytes = 1 << 16;

/** Refuses a path that is no regular file. */
export async function requireFile(path: string): Promise<void> {
  const { handle } = await openRegularFile(path);
  await handle.close();
}

/** Pieces of the file's content, each valid until the next; "corrupt" where a compressed file is damaged or cut off. */
export async function* readBytes(path: string): AsyncGenerator<Uint8Array> {
  const { handle } = await openRegularFile(path);
  try {
    const form = await compressionOf(handle, path);
    if (form === "gzip") yield* through(handle, path, "gzip", zlib.createGunzip({ chunkSize: pieceBytes }));
    else if (form === "zstd") yield* readZstd(handle, path);
    else yield* readPlain(handle, path);
  } finally {
    await handle.close();
  }
}

async function compressionOf(handle: FileHandle, path: string): Promise<"gzip" | "zstd" | undefined> {
  const first = Buffer.alloc(4);
  await handle.read(first, 0, 4, 0).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  // Neither begins as a text in UTF-8 may.
  if (first[0] === 0x1f && first[1] === 0x8b) return "gzip";
  return first.equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd])) ? "zstd" : undefined;
}

/** `copies`: each piece has memory of its own, for readers that keep it. */
async function* readPlain(
  handle: FileHandle,
  path: string,
  size = pieceBytes,
  copies = false,
): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(size);
  for (let at = 0; ;) {
    const { bytesRead } = await handle.read(buffer, 0, size, at).catch((cause: unknown) => {
      throw unreadable(path, cause);
    });
    if (bytesRead === 0) return;
    yield copies ? Uint8Array.prototype.slice.call(buffer, 0, bytesRead) : buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

async function* through(
  handle: FileHandle,
  path: string,
  what: string,
  transform: Transform,
): AsyncGenerator<Uint8Array> {
  const source = Readable.from(readPlain(handle, path, pieceBytes, true), { objectMode: false });
  pipeline(source, transform, () => undefined);
  try {
    for await (const bytes of transform) yield bytes as Uint8Array;
  } catch (cause) {
    throw cause instanceof AttributionError ? cause : damaged(path, what, cause);
  }
}

/** Node has Zstandard of its own from 22.15 on. */
async function* readZstd(handle: FileHandle, path: string): AsyncGenerator<Uint8Array> {
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };
  if (createZstdDecompress !== undefined) {
    yield* through(handle, path, "Zstandard", createZstdDecompress());
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
  for await (const bytes of readPlain(handle, path, 4096, true)) {
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
