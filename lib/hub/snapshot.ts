// Chosen files of a repository at one commit, in the cache. The listing and the commit come from @huggingface/hub.
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import type { CallOptions } from "../../types/common";
import { AttributionError } from "../errors";
import { fileExists, makeFolder } from "../storage/files";
import { fetchBlob } from "./blob";
import { linkBlob, repositoryFolder, type Snapshot, withBlobLock, writeRef } from "./cache";
import type { HubFile, Repository } from "./repository";
import { type HubRequest, hubRequests } from "./request";
import { type HubSettings, hubSettings } from "./settings";

export interface Listing extends Snapshot {
  readonly repository: Repository;
  readonly files: ReadonlyMap<string, HubFile>;
  /** Brings files of the listing; gives their paths. `other`: in place of the call's own options. */
  fetch(names: readonly string[], other?: CallOptions): Promise<readonly string[]>;
  /** Writes down that the revision is this commit; once everything is there. */
  keep(): Promise<void>;
}

/** What a repository holds at a revision. Nothing is fetched yet. */
export async function openListing(repository: Repository, revision: string, call: CallOptions): Promise<Listing> {
  const settings = hubSettings();
  const request = await hubRequests(repository, settings, call.signal);
  const { commit, files } = await listed(repository, revision, settings, request);
  const root = repositoryFolder(settings, repository);
  const path = join(root, "snapshots", commit);
  const fetching = { settings, repository, request, root, path, commit };
  const named = (name: string): HubFile => {
    const file = files.get(name);
    if (file !== undefined) return file;
    throw new AttributionError("missing", `The repository "${repository.id}" has no file "${name}"`);
  };
  return {
    repository,
    path,
    commit,
    files,
    fetch: async (names, other = call) => fetchAll(fetching, names.map(named), other),
    keep: () => writeRef(root, revision, commit),
  };
}

async function listed(
  { type, id }: Repository,
  revision: string,
  { endpoint }: HubSettings,
  request: HubRequest,
): Promise<{ commit: string; files: Map<string, HubFile> }> {
  const hub = await import("@huggingface/hub");
  const asked = {
    hubUrl: endpoint,
    revision,
    fetch: ((url: string, init?: { headers?: Record<string, string> }) => request(url, init?.headers)) as typeof fetch,
  };
  try {
    const about =
      type === "model"
        ? await hub.modelInfo({ ...asked, name: id, additionalFields: ["sha"] })
        : await hub.datasetInfo({ ...asked, name: id, additionalFields: ["sha"] });
    const commit = String(about.sha);
    if (!/^[0-9a-f]{40}$/.test(commit)) throw new TypeError("no commit");
    const files = new Map<string, HubFile>();
    const repo = { type, name: id } as const;
    for await (const entry of hub.listFiles({ ...asked, repo, revision: commit, recursive: true })) {
      const file = entry.type === "file" ? fileOf(entry) : undefined;
      if (file !== undefined) files.set(file.path, file);
    }
    return { commit, files };
  } catch (cause) {
    if (cause instanceof AttributionError) throw cause;
    throw new AttributionError("network", `What ${endpoint} answers about "${id}" is not a hub's: ${String(cause)}`, {
      cause,
    });
  }
}

/** A file as the hub lists it; undefined where a part is not what it must be, since parts become paths. */
function fileOf(entry: {
  path: string;
  size: number;
  oid?: string;
  lfs?: { oid: string; size: number };
}): HubFile | undefined {
  const isLarge = entry.lfs !== undefined;
  const etag = String(entry.lfs?.oid ?? entry.oid);
  const size = entry.lfs?.size ?? entry.size;
  const isSafe = typeof entry.path === "string" && !/(^|\/)\.\.?(\/|$)|^\/|\/\/|\\|\0/.test(entry.path);
  const isWhole = Number.isSafeInteger(size) && size >= 0;
  const isHash = (isLarge ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(etag);
  return isSafe && isWhole && isHash ? { path: entry.path, size, etag, isLarge } : undefined;
}

interface Fetching {
  readonly settings: HubSettings;
  readonly repository: Repository;
  readonly request: HubRequest;
  readonly root: string;
  readonly path: string;
  readonly commit: string;
}

const betweenReports = 100; // ms

async function fetchAll(
  { settings, repository, request, root, path, commit }: Fetching,
  files: readonly HubFile[],
  call: CallOptions,
): Promise<string[]> {
  const folder = join(root, "blobs");
  await requireRoom(settings, folder, files);
  const prefix = repository.type === "model" ? "" : "datasets/";
  const listener = listenerOf(
    call,
    files.reduce((sum, { size }) => sum + size, 0),
  );
  const { signal } = listener;
  const places: string[] = [];
  let before = 0;
  for (const file of files) {
    const url = `${settings.endpoint}/${prefix}${repository.id}/resolve/${commit}/${file.path.split("/").map(encodeURIComponent).join("/")}`;
    const onBytes = (bytes: number): void => listener.tell(before + bytes);
    const blob = await withBlobLock(settings, repository, file.etag, signal, () =>
      fetchBlob({ file, url, folder, request, signal, onBytes }),
    ).catch(listener.rethrow);
    places.push(join(path, file.path));
    await linkBlob(blob, join(path, file.path));
    onBytes(file.size);
    before += file.size;
  }
  return places;
}

/** Tells the caller's listener of bytes, not too often; one that throws stops the call, which then rejects with the same. */
function listenerOf({ signal, onProgress }: CallOptions, total: number) {
  const stop = new AbortController();
  let reported = 0;
  let thrown: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    thrown ??= { error };
    stop.abort(error);
  };
  return {
    signal: signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]),
    tell: (done: number): void => {
      const now = performance.now();
      if (onProgress === undefined || (now - reported < betweenReports && done < total)) return;
      reported = now;
      try {
        Promise.resolve(onProgress({ done, total, stage: "download" })).catch(fail);
      } catch (error) {
        fail(error);
      }
    },
    rethrow: (error: unknown): never => {
      throw thrown === undefined ? error : thrown.error;
    },
  };
}

/** Refuses what the disk has no room for, before the first byte. */
async function requireRoom({ cache }: HubSettings, folder: string, files: readonly HubFile[]): Promise<void> {
  await makeFolder(cache);
  const there = await Promise.all(files.map(({ etag }) => fileExists(join(folder, etag))));
  const bytes = files.reduce((sum, { size }, at) => sum + (there[at] ? 0 : size), 0);
  const { bavail, bsize } = await statfs(cache).catch(() => ({ bavail: Infinity, bsize: 1 }));
  if (bytes > bavail * bsize)
    throw new AttributionError(
      "memory",
      `The files take ${bytes} bytes, but the disk of ${cache} has ${bavail * bsize} left. Make room, or set HF_HUB_CACHE to another disk`,
    );
}
