// Unfinished files and folders: made beside their target under a name that tells their writer, and renamed when they are whole.
// A call that was killed leaves its own behind; the next one on the same target removes it.
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

const pattern = /\.partial-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{12}$/;
/** Age at which a partial file of another machine or container belongs to nobody: writers touch theirs all the time. */
const abandonedAfter = 24 * 60 * 60 * 1000; // ms

/** Whether a name is that of an unfinished file or folder. */
export const isPartial = (name: string): boolean => pattern.test(name);

/** A name beside `path`, on the same file system, that no other writer has. */
export function besideName(path: string): string {
  return `${path}.partial-${here()}-${process.pid}-${startOf("self")}-${randomBytes(6).toString("hex")}`;
}

let place: string | undefined;

/** What tells this machine's run and this container from others: process numbers mean nothing elsewhere. */
function here(): string {
  place ??= createHash("sha256")
    .update(`${readOr(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"))}`)
    .update(`${readOr(() => readlinkSync("/proc/self/ns/pid"))}`)
    .digest("hex")
    .slice(0, 8);
  return place;
}

function readOr(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}

/** When a process began, in clock ticks since the machine did; 0 where there is none. Process numbers are used again. */
function startOf(pid: number | "self"): number {
  const status = readOr(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // The fields after the program's name, which may hold spaces and brackets; the start is the 22nd of all.
  return Number(status.slice(status.lastIndexOf(")") + 2).split(" ")[19] ?? 0);
}

/** Removes what killed calls left beside `path`; a living writer's is left alone. */
export async function removeAbandoned(path: string): Promise<void> {
  const [folder, name] = [dirname(path), basename(path)];
  for (const each of await readdir(folder).catch(() => [])) {
    if (!each.startsWith(name) || !isPartial(each) || each.replace(pattern, "") !== name) continue;
    const partial = join(folder, each);
    if (await isAbandoned(partial)) await rm(partial, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const [, where, pid, start] = pattern.exec(path) ?? [];
  if (where === here()) return startOf(Number(pid)) !== Number(start);
  const newest = await newestChange(path).catch(() => Date.now());
  return Date.now() - newest > abandonedAfter;
}

async function newestChange(path: string): Promise<number> {
  const status = await stat(path);
  if (!status.isDirectory()) return status.mtimeMs;
  const inside = await readdir(path);
  const times = await Promise.all(inside.map(async (name) => (await stat(join(path, name))).mtimeMs));
  return Math.max(status.mtimeMs, ...times);
}

/** Brings a folder's list of names to the disk; what a file system cannot do is left out. */
export async function syncFolder(path: string): Promise<void> {
  await syncFile(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== "EINVAL" && cause.code !== "EISDIR" && cause.code !== "EACCES") throw cause;
  });
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Brings a folder's files to the disk, then its list of names. */
export async function syncFiles(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true }))
    if (entry.isFile()) await syncFile(join(folder, entry.name));
  await syncFolder(folder);
}

/** Gives a finished folder its name: first its files reach the disk, then it is renamed, then the new name does. */
export async function publishFolder(partial: string, target: string): Promise<void> {
  await syncFiles(partial);
  await rename(partial, target);
  await syncFolder(dirname(target));
}
