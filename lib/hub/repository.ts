// Names of repositories on the hub, and of their revisions, as the hub itself allows them. They become parts of paths.
import { expected } from "../errors";
import { text } from "../options";

export interface Repository {
  readonly type: "model" | "dataset";
  /** "owner/name", or for some old ones "name". */
  readonly id: string;
}

/** A file in a repository, as its listing tells it. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** The name of the cached file: SHA-256 of the content where `isLarge`, else Git's SHA-1 of it. */
  readonly etag: string;
  readonly isLarge: boolean;
}

const longestId = 96;
const fileEnding = /\.(gguf|bin|pt|pth|safetensors|json|jsonl|csv|tsv|txt|parquet|gz|zst|zip|git|py|js|mjs|ts)$/i;

/** Whether a text could name a repository; a name that ends as a file's does is taken for a path. */
export function isHubId(id: string): boolean {
  return (
    id.length <= longestId &&
    /^\w[\w.-]*(\/\w[\w.-]*)?$/.test(id) &&
    !/\.\.|--|[.-]$|[.-]\//.test(id) &&
    !fileEnding.test(id)
  );
}

/** "owner/name/file.gguf": a repository and a file in it. */
export function hubFileOf(source: string): { readonly id: string; readonly file: string } | undefined {
  const [, id, file] = /^([^/]+\/[^/]+)\/([\w][\w.+@=-]*\.gguf)$/.exec(source) ?? [];
  return id !== undefined && isHubId(id) ? { id, file } : undefined;
}

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

/** A branch, a tag or a commit. */
export function revisionOf(options: Readonly<Record<string, unknown>>): string {
  const revision = text(options, "revision", "main");
  if (/^[\w][\w.@+-]*(\/[\w][\w.@+-]*)*$/.test(revision) && !/\.\.|\.lock$/.test(revision)) return revision;
  throw expected("revision", "a branch, a tag or a commit of 40 hexadecimal digits", revision);
}
