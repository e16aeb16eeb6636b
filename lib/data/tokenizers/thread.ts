// The caller's side of a tokenizer's worker thread: starts it, sends requests, settles their promises. Each tokenizer has a
// thread of its own, so one that hangs on a text is ended and the others live on. A thread keeps the process alive only while a
// request is under way.
import { readFileSync } from "node:fs";
import type { Worker } from "node:worker_threads";
import { AttributionError } from "../../errors";
import { startWorker } from "../start-worker";
import type { ChatRequest } from "./chat";
import type { Reply, Request } from "./worker";

interface Waiting {
  /** Seconds of processor time that it may take. */
  readonly seconds: number;
  readonly isChat: boolean;
  /** The thread's processor time when it was first seen at work. */
  since?: number;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** A running worker and the requests it has yet to answer, in their order. */
export interface TokenizerThread {
  readonly worker: Worker;
  readonly waiting: Map<number, Waiting>;
  /** Tokenizers that live in it: a tokenizer, and those made from it. */
  tokenizers: number;
  /** Looks at the request at hand, while there is one. */
  timer?: NodeJS.Timeout;
  /** Its entry under /proc, once it has said it. */
  entry?: string;
  ended?: AttributionError;
}

let nextRequest = 1;
/** V8's heap in the thread: the largest known vocabularies take a tenth of it. */
const resourceLimits = { maxOldGenerationSizeMb: 4096 };

/** Sends a request to the worker that holds the tokenizer. */
export function ask<T>(thread: TokenizerThread, message: Request): Promise<T> {
  if (thread.ended !== undefined) return Promise.reject(thread.ended);
  return new Promise<T>((resolve, reject) => {
    const request = nextRequest++;
    thread.waiting.set(request, { seconds: secondsFor(message), isChat: message.kind === "chat", resolve, reject });
    if (thread.waiting.size === 1) {
      thread.worker.ref();
      watch(thread);
    }
    thread.worker.postMessage({ request, message });
  });
}

/** A generous bound for what was sent: honest tokenizers take a hundredth of it. */
function secondsFor(message: Request): number {
  if (message.kind === "chat") return secondsForChats(message);
  if (message.kind !== "encode") return 30;
  return 5 + message.texts.reduce((sum, text) => sum + text.length, 0) / 20_000;
}

/** Beginnings of a conversation are written and encoded for each of its turns. */
function secondsForChats({ conversations }: ChatRequest): number {
  const work = conversations.map((turns) => turns.length * turns.reduce((sum, { content }) => sum + content.length, 0));
  return 3 + work.reduce((sum, characters) => sum + characters, 0) / 5000;
}

/** Ends the thread when the oldest request has taken too much; the worker answers in order. */
function watch(thread: TokenizerThread): void {
  thread.timer ??= setInterval(() => {
    const [oldest] = thread.waiting.values();
    if (oldest === undefined) return unwatch(thread);
    const used = secondsUsed(thread);
    oldest.since ??= used;
    if (used - oldest.since > oldest.seconds) end(thread, tooSlow(oldest));
  }, 500).unref();
}

function unwatch(thread: TokenizerThread): void {
  clearInterval(thread.timer);
  delete thread.timer;
}

function tooSlow({ seconds, isChat }: Waiting): AttributionError {
  const what = isChat ? "its chat template" : "a regular expression or replacement of it";
  const why = `The tokenizer took more than ${Math.round(seconds)} s and was stopped: ${what} does not end`;
  const advice = isChat ? 'give another "chatTemplate"' : "use another tokenizer";
  return new AttributionError("unsupported", `${why}. Open it again for other texts, or ${advice}`);
}

/** The thread's processor time: on a busy machine, an honest tokenizer waits long. Until it is known, none. */
function secondsUsed({ entry }: TokenizerThread): number {
  if (entry === undefined) return 0;
  try {
    const fields = readFileSync(`/proc/${entry}/stat`, "latin1").replace(/^.*\)/s, "").trim().split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}

export function startThread(): TokenizerThread {
  const thread: TokenizerThread = {
    worker: startWorker(__dirname, "worker", { resourceLimits }),
    waiting: new Map(),
    tokenizers: 0,
  };
  const { worker, waiting } = thread;
  worker.unref();
  worker.on("message", ({ request, result, error }: Reply) => {
    if (request === 0) {
      thread.entry = String(result);
      return;
    }
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
  worker.on("exit", () => end(thread, new AttributionError("native", "The tokenizer's thread ended; open it again")));
  return thread;
}

/** Ends the thread; requests that wait, and all later ones, are refused with the error. */
export function end(thread: TokenizerThread, error: AttributionError): void {
  thread.ended ??= error;
  unwatch(thread);
  for (const waiter of thread.waiting.values()) waiter.reject(error);
  thread.waiting.clear();
  void thread.worker.terminate();
}
