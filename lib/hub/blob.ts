// One file of the hub into the cache: goes on where an interrupted download ended, and is whole and right, or not there.
// @huggingface/hub's downloadFileToCacheDir begins anew after an interruption, checks neither size nor hash, and tells no progress.
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { AttributionError } from "../errors";
import { stopIfAborted } from "../pacing";
import { fileExists, makeFolder, unwritable, withFile } from "../storage/files";
import type { HubFile } from "./repository";
import { type HubRequest, pause, reasonOf } from "./request";

export interface BlobRequest {
  readonly file: HubFile;
  readonly url: string;
  /** The repository's folder for files by content. */
  readonly folder: string;
  readonly request: HubRequest;
  readonly signal?: AbortSignal | undefined;
  /** Told how many of the file's bytes are there. */
  onBytes(done: number): void;
}

/** How often a broken download goes on without a new byte, and how long a server may be silent within one. */
const mostEmptyTries = 3;
const betweenTries = 300; // ms
const longestSilence = 60_000; // ms

/** Brings the blob, unless it is there; gives its path. */
export async function fetchBlob(blob: BlobRequest): Promise<string> {
  const path = join(blob.folder, blob.file.etag);
  if (await fileExists(path)) return path;
  await makeFolder(blob.folder);
  const incomplete = `${path}.incomplete`;
  const resumed = (await sizeOf(incomplete)) > 0;
  await fill(blob, incomplete);
  if (!(await isRight(blob, incomplete))) {
    await rm(incomplete, { force: true });
    if (resumed) await fill(blob, incomplete); // what was there before may have been the wrong part
    if (!resumed || !(await isRight(blob, incomplete))) {
      await rm(incomplete, { force: true });
      throw new AttributionError(
        "corrupt",
        `What ${blob.url} sends is not the file that the hub lists (its hash differs). Try again later`,
      );
    }
  }
  await rename(incomplete, path).catch((cause: unknown) => {
    throw unwritable(path, cause);
  });
  return path;
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

/** Until all bytes are there; the connection may break on the way. */
async function fill(blob: BlobRequest, incomplete: string): Promise<void> {
  const { size } = blob.file;
  if ((await sizeOf(incomplete)) > size) await rm(incomplete, { force: true });
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW;
  const handle = await open(incomplete, flags).catch((cause: unknown) => {
    throw unwritable(incomplete, cause);
  });
  try {
    let done = (await handle.stat()).size;
    for (let empty = 0; done < size;) {
      const before = done;
      const { reached, reason } = await continued(blob, handle, done);
      done = reached;
      empty = done > before ? 0 : empty + 1;
      if (done < size && empty === mostEmptyTries) throw halfway(blob, done, reason);
      if (done < size) await pause(betweenTries, blob.signal);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** One request for the rest: how far it came, and why not farther. */
async function continued(
  { url, file, request, signal, onBytes }: BlobRequest,
  handle: FileHandle,
  done: number,
): Promise<{ reached: number; reason: string }> {
  const answer = await request(url, {
    "accept-encoding": "identity",
    ...(done > 0 ? { range: `bytes=${done}-` } : {}),
  });
  // A server that knows no ranges sends everything.
  let at = answer.status === 206 ? firstByte(answer) : 0;
  if (at > done) at = done;
  if (at === 0) await handle.truncate(0);
  let reason = "the connection ended early";
  try {
    for await (const bytes of spoken(answer, signal)) {
      if (at + bytes.length > file.size) return { reached: await overlong(handle), reason: "it sends too many bytes" };
      await written(handle, bytes, at, url);
      at += bytes.length;
      onBytes(at);
    }
  } catch (error) {
    stopIfAborted(signal);
    if (error instanceof AttributionError) throw error;
    reason = reasonOf(error);
  }
  return { reached: at, reason };
}

async function overlong(handle: FileHandle): Promise<number> {
  await handle.truncate(0);
  return 0;
}

const firstByte = (answer: Response): number =>
  Number(/^bytes (\d+)-/.exec(answer.headers.get("content-range") ?? "")?.[1] ?? 0);

async function written(handle: FileHandle, bytes: Uint8Array, at: number, url: string): Promise<void> {
  for (let sent = 0; sent < bytes.length;) {
    const { bytesWritten } = await handle
      .write(bytes, sent, bytes.length - sent, at + sent)
      .catch((cause: unknown) => Promise.reject(unwritable(`the copy of ${url}`, cause)));
    sent += bytesWritten;
  }
}

/** The pieces of an answer's body; a server that falls silent ends it. */
async function* spoken(answer: Response, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const reader = (answer.body as ReadableStream<Uint8Array> | null)?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      stopIfAborted(signal);
      const { done, value } = await inTime(reader.read());
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function inTime<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the hub fell silent")), longestSilence);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

const pieceBytes = 1 << 20;

/** Whether the content has the hash that the hub lists: SHA-256, or Git's SHA-1 of small files. */
async function isRight({ file, signal }: BlobRequest, path: string): Promise<boolean> {
  const hash = createHash(file.isLarge ? "sha256" : "sha1");
  if (!file.isLarge) hash.update(`blob ${file.size}\0`);
  await withFile(path, async ({ size, readInto }) => {
    const piece = new Uint8Array(pieceBytes);
    for (let done = 0; done < size; done += pieceBytes) {
      stopIfAborted(signal);
      const read = piece.subarray(0, Math.min(pieceBytes, size - done));
      await readInto(read, done);
      hash.update(read);
    }
  });
  return hash.digest("hex") === file.etag;
}

function halfway({ file, url }: BlobRequest, done: number, reason: string): AttributionError {
  return new AttributionError(
    "network",
    `Only ${done} of ${file.size} bytes of "${file.path}" came from ${new URL(url).origin} (${reason}). Call again: it goes on from there`,
  );
}
