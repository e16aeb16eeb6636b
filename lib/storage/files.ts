// Reading of untrusted files: regular files only (a pipe would wait for ever), every range checked against the size.
// Writing goes beside the target and is renamed at the end, so that a target is whole or absent; the new file's name is never a link's.
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { AttributionError } from "../errors";
import { corrupt } from "./listing";
import { besideName, syncFolder } from "./partial";
import { openRegularFile, unreadable } from "./regular-file";

export interface OpenFile {
  readonly path: string;
  readonly size: number;
  /** The bytes offset … offset + length; "corrupt" where the file is shorter. */
  read(offset: number, length: number): Promise<Buffer>;
  readInto(target: Uint8Array, offset: number): Promise<void>;
}

const longestRead = 1 << 30;

/** Opens a regular file for the time of `use`. */
export async function withFile<T>(path: string, use: (file: OpenFile) => Promise<T>): Promise<T> {
  const { handle, size } = await openRegularFile(path);
  try {
    const readInto = (target: Uint8Array, offset: number) => fill(path, handle, size, target, offset);
    const read = async (offset: number, length: number) => {
      if (length > size) throw corrupt(path, `ends at byte ${size}, before ${offset + length}`);
      const target = newBuffer(path, length);
      await readInto(target, offset);
      return target;
    };
    return await use({ path, size, read, readInto });
  } finally {
    await handle.close();
  }
}

/** "memory" where there is no room for a buffer of that size. */
function newBuffer(path: string, length: number): Buffer {
  try {
    return Buffer.allocUnsafeSlow(length);
  } catch (cause) {
    throw new AttributionError("memory", `Cannot hold ${length} bytes of ${path} in memory`, { cause });
  }
}

async function fill(path: string, handle: FileHandle, size: number, target: Uint8Array, offset: number): Promise<void> {
  if (offset < 0 || offset + target.byteLength > size) {
    throw corrupt(path, `ends at byte ${size}, before ${offset + target.byteLength}`);
  }
  for (let done = 0; done < target.byteLength;) {
    const length = Math.min(longestRead, target.byteLength - done);
    const { bytesRead } = await handle.read(target, done, length, offset + done).catch((cause: unknown) => {
      throw unreadable(path, cause);
    });
    if (bytesRead === 0) throw corrupt(path, `ends at byte ${offset + done}, before ${offset + target.byteLength}`);
    done += bytesRead;
  }
}

export async function fileExists(path: string): Promise<boolean> {
  return stat(path).then(
    (status) => status.isFile(),
    () => false,
  );
}

export async function directoryExists(path: string): Promise<boolean> {
  return stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );
}

/** Reads a JSON object of at most `limit` bytes. */
export async function readJsonObject(path: string, limit = 1 << 20): Promise<Record<string, unknown>> {
  const bytes = await withFile(path, (file) => {
    if (file.size > limit) throw corrupt(path, `expected at most ${limit} bytes of JSON but found ${file.size}`);
    return file.read(0, file.size);
  });
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw corrupt(path, "is not valid JSON", cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw corrupt(path, "expected a JSON object");
  return value as Record<string, unknown>;
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full: make room, or choose another one",
  EDQUOT: "the disk quota is used up: make room, or choose another disk",
  EACCES: "no permission to write there",
  EPERM: "no permission to write there",
  EROFS: "the disk is read-only",
  ENOENT: "its folder does not exist: make it",
  ENOTDIR: "a part of the path is a file, not a folder",
  EISDIR: "it is a folder",
  EEXIST: "it exists already",
  ENAMETOOLONG: "the name is too long",
};

/** Why a path cannot be written: "memory" where the disk is full, else "invalid". */
export function unwritable(path: string, cause: unknown): AttributionError {
  if (cause instanceof AttributionError) return cause;
  const code = (cause as NodeJS.ErrnoException | null)?.code ?? String(cause);
  const words = Object.hasOwn(reasons, code) ? `${code}: ${reasons[code]}` : code;
  return new AttributionError(
    code === "ENOSPC" || code === "EDQUOT" ? "memory" : "invalid",
    `Cannot write ${path} (${words})`,
    { cause },
  );
}

/** Makes a folder and those above it, where they are not there yet. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    throw unwritable(path, cause);
  });
}

/** The file in a folder whose lock its writer holds: see lock.ts. */
export const lockFile = ".lock";

/** What a folder that will be written into holds, but for its lock; nothing where it is not there yet. */
export async function namesIn(path: string): Promise<string[]> {
  const names = await readdir(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return [];
    throw unwritable(path, cause);
  });
  return names.filter((name) => name !== lockFile);
}

/** Writes the parts one after the other beside `path`, then renames. */
export function writeBeside(path: string, parts: readonly Uint8Array[]): Promise<void> {
  return fillBeside(path, async (handle) => {
    for (const part of parts) await handle.writeFile(part);
  });
}

/** Makes a file beside `path` by what `fill` does with it, then renames. */
export async function fillBeside(path: string, fill: (handle: FileHandle) => Promise<void>): Promise<void> {
  const partial = besideName(path);
  try {
    const handle = await open(partial, "wx");
    try {
      await fill(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(partial, { force: true });
    throw unwritable(path, cause);
  }
}
