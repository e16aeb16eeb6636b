// The thread that holds the vocabularies: reading, parsing and encoding happen here, so that none of it holds the caller's
// event loop. Answers each request of thread.ts with a result, or with an error's code and message.
import type { PairTemplate } from "../../../types/data";
import { mkdirSync, readlinkSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parentPort } from "node:worker_threads";
import { AttributionError } from "../../errors";
import { unwritable } from "../../storage/files";
import { type ChatRequest, chatsOf } from "./chat";
import { type Pipeline, pipelineOf } from "./pipeline";
import { addedAround } from "./post-processors";
import {
  type Definition,
  define,
  definitionWithPad,
  type Json,
  readDefinition,
  type TokenizerFiles,
} from "./definition";

export type Request =
  | { readonly kind: "open"; readonly source: TokenizerFiles }
  | { readonly kind: "begin"; readonly json: Json; readonly config: Json }
  | { readonly kind: "vocabulary" | "merges"; readonly draft: number; readonly entries: readonly unknown[] }
  | { readonly kind: "finish"; readonly draft: number }
  | { readonly kind: "pad"; readonly handle: number; readonly token: string }
  | { readonly kind: "encode"; readonly handle: number; readonly texts: readonly string[] }
  | { readonly kind: "decode" | "tokenTexts"; readonly handle: number; readonly ids: Int32Array }
  | ({ readonly kind: "chat"; readonly handle: number } & ChatRequest)
  | { readonly kind: "save"; readonly handle: number; readonly directory: string }
  | { readonly kind: "close"; readonly handle: number };

export interface Opened {
  readonly handle: number;
  readonly size: number;
  readonly special: Definition["special"];
  readonly start: readonly number[];
  readonly end: readonly number[];
  readonly pair?: PairTemplate;
  readonly files: readonly string[];
}
export interface Encoded {
  readonly ids: Int32Array;
  readonly lengths: Int32Array;
}
export interface Reply {
  /** 0: the worker says where its thread stands under /proc. */
  readonly request: number;
  readonly result?: unknown;
  readonly error?: { readonly code: AttributionError["code"]; readonly message: string };
}

interface Held {
  readonly definition: Definition;
  readonly exact: Pipeline;
}
interface Draft {
  readonly json: Json;
  readonly config: Json;
  readonly vocabulary: unknown[];
  readonly merges: unknown[];
}

const held = new Map<number, Held>();
const drafts = new Map<number, Draft>();
let nextHandle = 1;

function hold(definition: Definition): Opened {
  const handle = nextHandle++;
  held.set(handle, { definition, exact: pipelineOf(definition) });
  const { size, special, files } = definition;
  return { handle, size, special, ...addedAround(definition), files };
}

function holder(handle: number): Held {
  const found = held.get(handle);
  if (found === undefined) throw new AttributionError("invalid", "The tokenizer is closed");
  return found;
}

function answer(request: Request): unknown {
  switch (request.kind) {
    case "open":
      return hold(readDefinition(request.source));
    case "begin":
      return begin(request.json, request.config);
    case "vocabulary":
      return void drafts.get(request.draft)!.vocabulary.push(...request.entries);
    case "merges":
      return void drafts.get(request.draft)!.merges.push(...request.entries);
    case "finish":
      return finish(request.draft);
    case "pad":
      return hold(definitionWithPad(holder(request.handle).definition, request.token));
    case "encode":
      return encode(holder(request.handle).exact, request.texts);
    case "decode":
      return holder(request.handle).exact.decode(Array.from(request.ids));
    case "tokenTexts":
      return Array.from(request.ids, (id) => holder(request.handle).exact.tokenText(id));
    case "chat":
      return chatsOf(holder(request.handle).definition, holder(request.handle).exact, request);
    case "save":
      return save(holder(request.handle).definition, request.directory);
    case "close":
      return void held.delete(request.handle);
  }
}

function begin(json: Json, config: Json): number {
  const draft = nextHandle++;
  drafts.set(draft, { json, config, vocabulary: [], merges: [] });
  return draft;
}

function finish(draft: number): Opened {
  const { json, config, vocabulary, merges } = drafts.get(draft)!;
  drafts.delete(draft);
  const model = json["model"] as Json;
  const list = Array.isArray(model["vocab"]);
  const vocab = list ? vocabulary : Object.fromEntries(vocabulary as [string, number][]);
  return hold(
    define({ ...json, model: { ...model, vocab, ...(model["merges"] === undefined ? {} : { merges }) } }, config),
  );
}

function encode(exact: Pipeline, texts: readonly string[]): Encoded {
  const rows = texts.map((text) => exact.encode(text));
  const lengths = Int32Array.from(rows, (row) => row.length);
  const ids = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const row of rows) {
    ids.set(row, at);
    at += row.length;
  }
  return { ids, lengths };
}

function save(definition: Definition, directory: string): string[] {
  const config = { tokenizer_class: "PreTrainedTokenizerFast", ...definition.config };
  const files: [string, Json][] = [
    ["tokenizer.json", definition.json],
    ["tokenizer_config.json", config],
  ];
  try {
    mkdirSync(directory, { recursive: true });
    return files.map(([name, value]) => {
      const path = join(directory, name);
      writeFileSync(`${path}.partial-${process.pid}`, JSON.stringify(value, null, 1));
      renameSync(`${path}.partial-${process.pid}`, path);
      return path;
    });
  } catch (cause) {
    throw unwritable(directory, cause);
  }
}

parentPort?.postMessage({ request: 0, result: readlinkSync("/proc/thread-self") } satisfies Reply);
parentPort?.on("message", ({ request, message }: { request: number; message: Request }) => {
  try {
    parentPort!.postMessage({ request, result: answer(message) } satisfies Reply);
  } catch (error) {
    const code = error instanceof AttributionError ? error.code : "corrupt";
    parentPort!.postMessage({ request, error: { code, message: (error as Error).message } } satisfies Reply);
  }
});
