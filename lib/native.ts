// The only file that loads the addon. Starts its jobs, and turns their errors into AttributionError and their arrays into ours.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import { isMainThread, Worker } from "node:worker_threads";
import type { CallOptions, ErrorCode } from "../types/common";
import type { NativeAddon, NativeControl } from "../types/native";
import { AttributionError } from "./errors";
import { boundWaiting, grantedThreads } from "./threads";

const codes: readonly string[] = [
  "invalid",
  "unknown",
  "missing",
  "unsupported",
  "mismatch",
  "corrupt",
  "aborted",
  "memory",
  "native",
] satisfies ErrorCode[];

let addon: NativeAddon | undefined;

/** The addon, loaded on first use. Loading libtorch here holds the event loop for 0.3 s where `nativeLoaded` was not awaited. */
export function native(): NativeAddon {
  if (addon === undefined) {
    boundWaiting();
    addon = withGrantedThreads(stoppedAtExit(loadAddon()));
  }
  return addon;
}

let loading: Promise<void> | undefined;

/**
 * Loads the addon with the event loop free: a worker thread loads libtorch into the process first, then this thread takes a few
 * milliseconds. An addon that is not there or does not load throws as `native` says.
 */
export async function nativeLoaded(): Promise<void> {
  if (addon !== undefined) return;
  loading ??= loadedByWorker().then((done) => {
    try {
      native();
    } finally {
      done();
    }
  });
  await loading.finally(() => {
    loading = undefined;
  });
}

/** Resolves when a worker has loaded the addon, or could not, to what ends the worker: a library goes with its last user. */
function loadedByWorker(): Promise<() => void> {
  boundWaiting();
  const code = `const { parentPort, workerData } = require("node:worker_threads");
    try { require(workerData.loader)(workerData.root); } finally { parentPort.postMessage(0); parentPort.on("message", () => {}); }`;
  return new Promise((resolve) => {
    try {
      const workerData = { loader: createRequire(__filename).resolve("node-gyp-build"), root: packageRoot() };
      const worker = new Worker(code, { eval: true, workerData, execArgv: [], stdout: true, stderr: true });
      const ended = (): void => void worker.terminate();
      worker.once("message", () => resolve(ended));
      worker.once("error", () => resolve(ended));
      worker.once("exit", () => resolve(ended));
    } catch {
      resolve(() => undefined); // no worker threads here: native() loads alone, or says why it cannot
    }
  });
}

/** As many threads as the machine grants, unless the user says how many. */
function withGrantedThreads(loaded: NativeAddon): NativeAddon {
  if (process.env["ATTRIBUTION_THREADS"] === undefined && process.env["OMP_NUM_THREADS"] === undefined)
    loaded.setThreads(Math.min(loaded.versions().threads, grantedThreads()));
  return loaded;
}

/** A job that still ran while exit() takes libtorch down could crash. Workers share the engine; their own jobs end with them. */
function stoppedAtExit(loaded: NativeAddon): NativeAddon {
  if (isMainThread) process.once("exit", () => loaded.stopEngine());
  return loaded;
}

/** Version of the libtorch in use. */
export function libtorchVersion(): string {
  return native().versions().libtorch;
}

function stopBefore(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new AttributionError("aborted", "The call was aborted before it began", { cause: signal.reason });
}

/**
 * Runs a job: hands it the abort flag and the progress listener, and rejects with AttributionError. A listener that throws, or
 * whose promise rejects, stops the job, and the call rejects with the same.
 */
export async function runNative<T>(start: (control: NativeControl) => Promise<T>, call: CallOptions = {}): Promise<T> {
  const { signal, onProgress } = call;
  stopBefore(signal);
  if (addon === undefined) {
    await nativeLoaded(); // only then: a call on an open model takes its place in the queue at once
    stopBefore(signal);
  }
  const abort = new Uint8Array(1);
  const stop = (): void => {
    abort[0] = 1;
  };
  let thrown: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    thrown ??= { error };
    stop();
  };
  const progress =
    onProgress &&
    ((done: number, total: number, stage: string): void => {
      try {
        if (thrown === undefined) Promise.resolve(onProgress({ done, total, stage })).catch(fail);
      } catch (error) {
        fail(error);
      }
    });
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const result = own(await start({ abort, progress }));
    if (thrown) throw thrown.error;
    return result;
  } catch (error) {
    if (thrown) throw thrown.error;
    throw translated(error, signal);
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** Calls the addon synchronously; errors as in runNative. */
export function callNative<T>(call: (addon: NativeAddon) => T): T {
  try {
    return call(native());
  } catch (error) {
    throw translated(error);
  }
}

function translated(error: unknown, signal?: AbortSignal): unknown {
  if (error instanceof AttributionError) return error;
  const { code, message } = error as { code?: unknown; message?: string };
  if (typeof code !== "string" || !codes.includes(code))
    return new AttributionError("native", String(message ?? error), { cause: error });
  return new AttributionError(code as ErrorCode, String(message), {
    cause: code === "aborted" ? (signal?.reason ?? error) : error,
  });
}

const arrays = { Float32Array, Float64Array, Int32Array, Uint8Array } as const;

/** Arrays made by the addon belong to Node's realm; in another one (jest's, a vm context) `instanceof` would fail. */
function own<T>(value: T): T {
  if (ArrayBuffer.isView(value)) {
    const Own = arrays[Object.prototype.toString.call(value).slice(8, -1) as keyof typeof arrays];
    return new Own(value.buffer as ArrayBuffer, value.byteOffset, (value as unknown as Float32Array).length) as T;
  }
  if (typeof value !== "object" || value === null) return value;
  const object = value as Record<string, unknown>;
  for (const name of Object.keys(object)) if (ArrayBuffer.isView(object[name])) object[name] = own(object[name]);
  return value;
}

function packageRoot(): string {
  for (let folder = __dirname; dirname(folder) !== folder; folder = dirname(folder)) {
    const file = join(folder, "package.json");
    if (existsSync(file) && (JSON.parse(readFileSync(file, "utf8")) as { name?: string }).name === "attribution")
      return folder;
  }
  throw new AttributionError("missing", "The package's folder was not found around its own files");
}

function loadAddon(): NativeAddon {
  const root = packageRoot();
  try {
    return (createRequire(__filename)("node-gyp-build") as (folder: string) => NativeAddon)(root);
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0];
    const command = root.split(sep).includes("node_modules") ? "npx attribution setup" : "npm install";
    throw new AttributionError(
      "missing",
      `The native addon is not set up (${reason}). Run "${command}": it brings libtorch, or takes the one that LIBTORCH or LIBTORCH_USE_PYTORCH=1 names`,
      { cause: error },
    );
  }
}
