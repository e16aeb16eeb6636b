// One writer of a folder at a time. The lock dies with its process, so that a killed call locks nobody out.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { AttributionError } from "../errors";
import { callNative, nativeLoaded } from "../native";
import { lockFile, makeFolder, namesIn } from "./files";
import { isPartial } from "./partial";

/**
 * Runs `use` while no other call, of this or another process, writes the folder; "invalid" where one does. The folder is made where it is
 * not there, and unfinished files in it are removed: nobody is at work on them.
 */
export async function withLock<T>(folder: string, what: string, use: () => Promise<T>): Promise<T> {
  await nativeLoaded();
  await makeFolder(folder);
  const lock = callNative((addon) => addon.lockFile(join(folder, lockFile)));
  if (lock === undefined)
    throw new AttributionError(
      "invalid",
      `Another call is writing ${what} in ${folder}: wait until it has ended, or choose another folder`,
    );
  try {
    for (const name of await namesIn(folder))
      if (isPartial(name)) await rm(join(folder, name), { recursive: true, force: true });
    return await use();
  } finally {
    callNative((addon) => addon.unlockFile(lock));
  }
}
