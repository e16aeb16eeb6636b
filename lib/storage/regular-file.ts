// Opening of files that others wrote: only regular files. A pipe would wait for ever, and a device has no end.
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { AttributionError } from "../errors";

/** Without O_NONBLOCK, opening a named pipe waits for a writer. */
const reading = constants.O_RDONLY | constants.O_NONBLOCK;

/** A regular file opened for reading, and its size: "missing" where it cannot be opened, "invalid" where it is of another kind. */
export async function openRegularFile(path: string): Promise<{ readonly handle: FileHandle; readonly size: number }> {
  const handle = await open(path, reading).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  try {
    const status = await handle.stat();
    if (status.isFile()) return { handle, size: status.size };
    throw irregular(path);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The text of a regular file of at most `limit` bytes. Blocks: for worker threads only. */
export function readRegularFile(path: string, limit: number): string {
  let descriptor: number;
  try {
    descriptor = openSync(path, reading);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile()) throw irregular(path);
    if (status.size > limit)
      throw new AttributionError("corrupt", `${path}: expected at most ${limit} bytes but found ${status.size}`);
    return readFileSync(descriptor, "utf8");
  } catch (cause) {
    throw cause instanceof AttributionError ? cause : unreadable(path, cause);
  } finally {
    closeSync(descriptor);
  }
}

/** Why a path cannot be read: "missing" where nothing is there, "native" where the disk fails, else "invalid". */
export function unreadable(path: string, cause: unknown): AttributionError {
  if (cause instanceof AttributionError) return cause;
  const code = (cause as NodeJS.ErrnoException | null)?.code ?? String(cause);
  if (code === "ENOENT" || code === "ENOTDIR") return new AttributionError("missing", `No file ${path}`, { cause });
  const words: Readonly<Record<string, string>> = {
    EIO: "the disk reports an error: check it, or take another copy of the file",
    EACCES: "no permission to read it",
    EISDIR: "it is a folder",
    ENAMETOOLONG: "the name is too long",
    ELOOP: "its symbolic links lead in a circle",
    ENXIO: "it is no regular file",
  };
  return new AttributionError(
    code === "EIO" ? "native" : code === "EACCES" ? "missing" : "invalid",
    `Cannot read ${path} (${Object.hasOwn(words, code) ? `${code}: ${words[code]}` : code})`,
    { cause },
  );
}

function irregular(path: string): AttributionError {
  return new AttributionError("invalid", `Expected ${path} to be a regular file`);
}
