// The hub's cache on this machine, in the layout of Python's huggingface_hub, so that both share it: `blobs` by content,
// `snapshots/COMMIT` with links to them, `refs/REVISION` with the commit that a branch or tag had.
import { copyFile, mkdir, readdir, rm, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { stopIfAborted } from "../pacing";
import { callNative, nativeLoaded } from "../native";
import { directoryExists, fileExists, makeFolder, unwritable, withFile, writeBeside } from "../storage/files";
import { isCommit, type Repository } from "./repository";
import { pause } from "./request";
import type { HubSettings } from "./settings";

export interface Snapshot {
  readonly path: string;
  readonly commit: string;
}

const folderName = ({ type, id }: Repository): string => `${type}s--${id.replaceAll("/", "--")}`;

export function repositoryFolder({ cache }: HubSettings, repository: Repository): string {
  return join(cache, folderName(repository));
}

const longestRef = 1024; // bytes

/** The snapshot of a revision, where it is there; for "main" without a ref the only one there is. */
export async function cachedSnapshot(
  settings: HubSettings,
  repository: Repository,
  revision: string,
): Promise<Snapshot | undefined> {
  const root = repositoryFolder(settings, repository);
  const ref = await withFile(join(root, "refs", revision), ({ size, read }) =>
    read(0, Math.min(size, longestRef)),
  ).then(
    (bytes) => bytes.toString("utf8").trim(),
    () => "",
  );
  const snapshots = await readdir(join(root, "snapshots")).catch((): string[] => []);
  const wanted = isCommit(revision) ? revision : ref;
  const only = revision === "main" && ref === "" && snapshots.length === 1 ? snapshots[0] : undefined;
  const commit = snapshots.includes(wanted) ? wanted : only;
  return commit === undefined ? undefined : { path: join(root, "snapshots", commit), commit };
}

/** Writes down which commit a branch or tag has. */
export async function writeRef(root: string, revision: string, commit: string): Promise<void> {
  if (isCommit(revision)) return;
  const path = join(root, "refs", revision);
  await makeFolder(dirname(path));
  await writeBeside(path, [Buffer.from(commit)]);
}

/** Makes a snapshot's file a link to its blob, or a copy where the file system has no links. */
export async function linkBlob(blob: string, pointer: string): Promise<void> {
  try {
    await mkdir(dirname(pointer), { recursive: true });
    if (await fileExists(pointer)) return;
    await rm(pointer, { force: true }); // a link that leads nowhere
    await symlink(relative(dirname(pointer), blob), pointer).catch(async (cause: NodeJS.ErrnoException) => {
      if (cause.code === "EEXIST") return; // another process was as fast
      if (!["EPERM", "ENOTSUP", "ENOSYS", "EINVAL"].includes(cause.code ?? "")) throw cause;
      await copyFile(blob, pointer);
    });
  } catch (cause) {
    throw unwritable(pointer, cause);
  }
}

const betweenLooks = 200; // ms

/** Runs `use` while no other process, Node or Python, fetches the same blob; waits for its turn. */
export async function withBlobLock<T>(
  settings: HubSettings,
  repository: Repository,
  etag: string,
  signal: AbortSignal | undefined,
  use: () => Promise<T>,
): Promise<T> {
  await nativeLoaded();
  const folder = join(settings.cache, ".locks", folderName(repository));
  if (!(await directoryExists(folder))) await makeFolder(folder);
  const take = () => callNative((addon) => addon.lockFile(join(folder, `${etag}.lock`)));
  let lock = take();
  while (lock === undefined) {
    await pause(betweenLooks, signal);
    lock = take();
  }
  const held = lock;
  try {
    stopIfAborted(signal);
    return await use();
  } finally {
    callNative((addon) => addon.unlockFile(held));
  }
}

/** The files of a revision's snapshot: their paths by their names in the repository; none where it is not cached. */
export async function cachedFiles(
  settings: HubSettings,
  repository: Repository,
  revision: string,
): Promise<ReadonlyMap<string, string>> {
  const snapshot = await cachedSnapshot(settings, repository, revision);
  if (snapshot === undefined) return new Map();
  const names = await readdir(snapshot.path, { recursive: true }).catch((): string[] => []);
  return new Map(names.map((name) => [name, join(snapshot.path, name)]));
}
