// A server on loopback that speaks the hub's protocol, and can answer as a broken, gated or lying one.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeRepository {
  readonly type?: "model" | "dataset";
  readonly id: string;
  readonly commit: string;
  /** Content by path. */
  readonly files: Readonly<Record<string, Buffer>>;
  /** Files that are listed with a SHA-256 and live on another origin, as large files do. */
  readonly large?: readonly string[];
}

/** How the next answers go wrong; changed by tests. */
export interface Faults {
  /** Answers of /api/ by status and X-Error-Code. */
  api?: { status: number; code?: string; times?: number };
  /** Content requests end after so many bytes, once for each entry. */
  cutAfter?: number[];
  /** Sends these in place of a file's bytes. */
  instead?: (content: Buffer) => Buffer;
  /** The server knows no ranges. */
  noRanges?: boolean;
  /** Answers of content requests. */
  content?: { status: number; code?: string };
}

export interface FakeHub {
  readonly endpoint: string;
  readonly faults: Faults;
  /** "GET /path", with its range and whether a token came. */
  readonly requests: {
    readonly path: string;
    readonly range?: string;
    readonly token?: string;
    readonly large: boolean;
  }[];
  close(): Promise<void>;
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const gitHash = (bytes: Buffer): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

export async function startHub(repository: FakeRepository): Promise<FakeHub> {
  const faults: Faults = {};
  const requests: FakeHub["requests"] = [];
  const storage = await listening((request, response) => {
    note(requests, request, true);
    const content = Object.values(repository.files).find((bytes) => request.url === `/blobs/${sha256(bytes)}`);
    send(request, response, content, faults);
  });
  const hub = await listening((request, response) => {
    note(requests, request, false);
    const url = decodeURIComponent(String(request.url));
    if (url.startsWith("/api/")) return api(repository, url, response, faults);
    const prefix = repository.type === "dataset" ? "datasets/" : "";
    const start = `/${prefix}${repository.id}/resolve/${repository.commit}/`;
    const path = url.startsWith(start) ? url.slice(start.length) : "";
    const content = repository.files[path];
    if (repository.large?.includes(path)) {
      response.writeHead(302, { location: `${addressOf(storage)}/blobs/${sha256(content)}` }).end();
    } else send(request, response, content, faults);
  });
  return {
    endpoint: addressOf(hub),
    faults,
    requests,
    close: async () => {
      for (const server of [hub, storage]) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
}

function listening(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer(answer).listen(0, "127.0.0.1", () => resolve(server));
  });
}

const addressOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

function note(requests: FakeHub["requests"], { url, headers }: IncomingMessage, large: boolean): void {
  requests.push({
    path: String(url),
    large,
    ...(headers.range === undefined ? {} : { range: headers.range }),
    ...(headers.authorization === undefined ? {} : { token: headers.authorization }),
  });
}

function api(
  { type = "model", id, commit, files, large = [] }: FakeRepository,
  url: string,
  response: ServerResponse,
  faults: Faults,
): void {
  if (faults.api !== undefined && (faults.api.times === undefined || faults.api.times-- > 0))
    return void response.writeHead(faults.api.status, { "x-error-code": faults.api.code ?? "" }).end("{}");
  const json = (value: unknown): void =>
    void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
  if (url.startsWith(`/api/${type}s/${id}/revision/`)) {
    const revision = url.slice(`/api/${type}s/${id}/revision/`.length).split("?")[0];
    if (["main", "v1", "refs/convert/parquet", commit].includes(revision))
      return json({ _id: "1", id, sha: commit, lastModified: "2026-01-01T00:00:00.000Z" });
    return void response.writeHead(404, { "x-error-code": "RevisionNotFound" }).end("{}");
  }
  if (url.startsWith(`/api/${type}s/${id}/tree/${commit}`))
    return json(
      Object.entries(files).map(([path, bytes]) => ({
        type: "file",
        path,
        size: bytes.length,
        oid: gitHash(bytes),
        ...(large.includes(path) ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 100 } } : {}),
      })),
    );
  response.writeHead(401, { "x-error-code": "RepoNotFound" }).end("{}");
}

function send(request: IncomingMessage, response: ServerResponse, content: Buffer | undefined, faults: Faults): void {
  if (faults.content !== undefined)
    return void response.writeHead(faults.content.status, { "x-error-code": faults.content.code ?? "" }).end();
  if (content === undefined) return void response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
  const bytes = faults.instead?.(content) ?? content;
  const start = faults.noRanges === true ? 0 : Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const rest = bytes.subarray(start);
  response.writeHead(start > 0 ? 206 : 200, {
    "content-length": rest.length,
    ...(start > 0 ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  const cut = faults.cutAfter?.shift();
  if (cut === undefined || cut >= rest.length) return void response.end(rest);
  response.write(rest.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
}
