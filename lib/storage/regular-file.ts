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

export function unreadable(path: string, cause: unknown): AttributionError {
  const code = (cause as NodeJS.ErrnoException).code;
  const words = code === "ENOENT" ? `No file ${path}` : `Cannot read ${path} (${code ?? String(cause)})`;
  return new AttributionError("missing", words, { cause });
}

function irregular(path: string): AttributionError {
  return new AttributionError("invalid", `Expected ${path} to be a regular file`);
}
