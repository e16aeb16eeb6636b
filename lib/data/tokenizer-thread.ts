// The caller's side of the tokenizer worker: starts it on first use (one for all tokenizers of the process), sends requests,
// settles their promises. The thread keeps the process alive only while a request is under way.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { AttributionError } from "../errors";
import type { Reply, Request } from "./tokenizer-worker";

interface Waiting {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** A running worker and the requests it has yet to answer. */
export interface TokenizerThread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
  ended: boolean;
}

let running: TokenizerThread | undefined;
let nextRequest = 1;

/** The worker of this process. */
export function tokenizerThread(): TokenizerThread {
  running ??= start();
  return running;
}

/** Sends a request to the worker that holds the tokenizer. */
export function ask<T>(thread: TokenizerThread, message: Request): Promise<T> {
  if (thread.ended)
    return Promise.reject(
      new AttributionError("invalid", "The tokenizer's thread has ended; open the tokenizer again"),
    );
  return new Promise<T>((resolve, reject) => {
    const request = nextRequest++;
    if (thread.waiting.size === 0) thread.worker.ref();
    thread.waiting.set(request, { resolve: resolve, reject });
    thread.worker.postMessage({ request, message });
  });
}

function start(): TokenizerThread {
  const thread: TokenizerThread = { worker: startWorker(), waiting: new Map(), ended: false };
  const { worker, waiting } = thread;
  worker.unref();
  worker.on("message", ({ request, result, error }: Reply) => {
    const waiter = waiting.get(request);
    waiting.delete(request);
    if (waiting.size === 0) worker.unref();
    if (error === undefined) waiter?.resolve(result);
    else waiter?.reject(new AttributionError(error.code, error.message));
  });
  worker.on("error", (cause: Error & { code?: string }) => {
    const code = cause.code === "ERR_WORKER_OUT_OF_MEMORY" ? "memory" : "native";
    end(thread, new AttributionError(code, `The tokenizer's thread failed: ${cause.message}`, { cause }));
  });
  worker.on("exit", () => end(thread, new AttributionError("native", "The tokenizer's thread ended")));
  return thread;
}

function end(thread: TokenizerThread, error: AttributionError): void {
  thread.ended = true;
  if (running === thread) running = undefined;
  for (const waiter of thread.waiting.values()) waiter.reject(error);
  thread.waiting.clear();
}

/** The compiled file beside this one; where there is none, TypeScript is being run from source (by the tests). */
function startWorker(): Worker {
  const compiled = join(__dirname, "tokenizer-worker.js");
  if (existsSync(compiled)) return new Worker(compiled, { execArgv: [] });
  return new Worker(fromSource, {
    eval: true,
    execArgv: [],
    workerData: { file: join(__dirname, "tokenizer-worker.ts") },
  });
}

const fromSource = `
  const { readFileSync } = require("node:fs");
  const requireFrom = require("node:module").createRequire(require("node:worker_threads").workerData.file);
  const { transformSync } = requireFrom("@swc/core");
  const settings = { swcrc: false, jsc: { parser: { syntax: "typescript" }, target: "es2022" }, module: { type: "commonjs" } };
  require.extensions[".ts"] = (module, filename) =>
    module._compile(transformSync(readFileSync(filename, "utf8"), { ...settings, filename }).code, filename);
  requireFrom(require("node:worker_threads").workerData.file);
`;
