// Tokenizers: text to ids as Hugging Face's own give them. Each lives in a worker thread, so that neither building nor using one
// holds the event loop. No truncation, padding or added special tokens here: encode.ts does what is needed.
import type { Tokenizer } from "../../types/data";
import { AttributionError, expected } from "../errors";
import { listOf, pathOf } from "../options";
import { pacedBy } from "../pacing";
import { ask, end, startThread, type TokenizerThread } from "./tokenizers/thread";
import type { Chat, ChatRequest } from "./tokenizers/chat";
import type { Encoded, Opened } from "./tokenizers/worker";

type Json = Readonly<Record<string, unknown>>;

/** A directory, or the paths of the files themselves (known by their names). */
export type TokenizerSource = string | { readonly files: readonly string[] };

/**
 * Opens a checkpoint's tokenizer: tokenizer.json, or vocab.json + merges.txt where that is all there is, with the special
 * tokens that tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json name. tokenizer.json is taken
 * as it stands, whatever class tokenizer_config.json names.
 * @example const tokenizer = await openTokenizer("models/opt-125m")
 */
export async function openTokenizer(source: TokenizerSource): Promise<Tokenizer> {
  const files = typeof source === "object" && source !== null ? source.files : undefined;
  if (Array.isArray(files) && files.every((path) => typeof path === "string"))
    return inNewThread((thread) => ask(thread, { kind: "open", source: { files } }));
  const directory = pathOf("source", "a directory or {files}", source);
  return inNewThread((thread) => ask(thread, { kind: "open", source: { directory } }));
}

/**
 * A tokenizer from the contents of tokenizer.json and tokenizer_config.json, e.g. one trained here. `model.vocab` may also be
 * a Map. The objects are copied.
 * @example const tokenizer = await createTokenizer(JSON.parse(await readFile("tokenizer.json", "utf8")));
 */
export async function createTokenizer(tokenizerJson: object, tokenizerConfig: object = {}): Promise<Tokenizer> {
  const { model, ...rest } = requireObject("tokenizerJson", tokenizerJson);
  const { vocab, merges, ...kept } = requireObject("tokenizerJson.model", model);
  if (typeof vocab !== "object" || vocab === null)
    throw expected("tokenizerJson.model.vocab", "an object or a Map from token to id", vocab);
  const markers = { vocab: Array.isArray(vocab) ? [] : {}, ...(merges === undefined ? {} : { merges: [] }) };
  const json = { ...rest, model: { ...kept, ...markers } };
  const config = requireObject("tokenizerConfig", tokenizerConfig);
  const begin = {
    kind: "begin",
    json: plain("tokenizerJson", json),
    config: plain("tokenizerConfig", config),
  } as const;
  return inNewThread(async (thread) => {
    const draft = await ask<number>(thread, begin);
    await sendEntries(thread, draft, "vocabulary", entriesOf(vocab));
    await sendEntries(thread, draft, "merges", Array.isArray(merges) ? merges : []);
    return ask<Opened>(thread, { kind: "finish", draft });
  });
}

/**
 * The tokenizer with a padding token. One that has a padding token already is returned as it is; otherwise a new tokenizer
 * whose `<pad>` has the next id (`size` of the given one): the model needs an embedding row for it.
 * @param token @default "<pad>"
 * @example const padded = await withPadToken(await openTokenizer("tokenizers/gpt2"));
 */
export async function withPadToken(tokenizer: Tokenizer, token = "<pad>"): Promise<Tokenizer> {
  if (typeof token !== "string" || token === "") throw expected("token", "a non-empty string", token);
  const { thread, handle } = ownerOf(tokenizer);
  if (tokenizer.special.pad !== undefined) return tokenizer;
  return tokenizerOf(thread, await ask<Opened>(thread, { kind: "pad", handle, token }));
}

/**
 * Writes tokenizer.json and tokenizer_config.json into a directory (made where it is missing); gives the paths written.
 * @example await saveTokenizer(model.tokenizer, "tokenizers/mine");
 */
export async function saveTokenizer(tokenizer: Tokenizer, directory: string): Promise<readonly string[]> {
  const { thread, handle } = ownerOf(tokenizer);
  return ask<string[]>(thread, { kind: "save", handle, directory: pathOf("directory", "a path", directory) });
}

/** Conversations as the tokenizer's chat template writes them; a few at a time. */
export async function renderChats(tokenizer: Tokenizer, request: ChatRequest): Promise<Chat[]> {
  await tokenizer.encode([]); // one that is absent or closed says so
  const { thread, handle } = ownerOf(tokenizer);
  const values = plain("templateValues", request.values);
  const chats: Chat[] = [];
  for (const [first, last] of slices(request.conversations)) {
    const conversations = request.conversations.slice(first, last);
    chats.push(...(await ask<Chat[]>(thread, { ...request, kind: "chat", handle, values, conversations })));
  }
  return chats.map((chat) => ({ ...chat, ids: new Int32Array(chat.ids) }));
}

/** Beginnings and ends of batches: small enough that neither side is busy for long with one. */
function slices(conversations: ChatRequest["conversations"]): [number, number][] {
  const found: [number, number][] = [];
  for (let first = 0; first < conversations.length;) {
    let [last, characters] = [first, 0];
    while (last < conversations.length && last - first < 16 && characters < mostCharacters)
      characters += conversations[last++].reduce((sum, { content }) => sum + content.length, 0);
    found.push([first, last]);
    first = last;
  }
  return found;
}

interface Owner {
  readonly thread: TokenizerThread;
  readonly handle: number;
}
const owners = new WeakMap<Tokenizer, Owner>();
const forgotten = new FinalizationRegistry<Owner>(release);

/** Closes a tokenizer in its thread, and the thread with its last one. */
function release({ thread, handle }: Owner): void {
  const closed = new AttributionError("invalid", "The tokenizer is closed");
  thread.tokenizers--;
  void ask(thread, { kind: "close", handle })
    .catch(() => undefined)
    .then(() => (thread.tokenizers === 0 ? end(thread, closed) : undefined));
}

function ownerOf(tokenizer: Tokenizer): Owner {
  const owner = owners.get(tokenizer);
  if (owner === undefined) throw expected("tokenizer", "one made by openTokenizer or createTokenizer", tokenizer);
  return owner;
}

async function inNewThread(open: (thread: TokenizerThread) => Promise<Opened>): Promise<Tokenizer> {
  const thread = startThread();
  try {
    return tokenizerOf(thread, await open(thread));
  } catch (error) {
    end(thread, new AttributionError("invalid", "The tokenizer is closed"));
    throw error;
  }
}

function tokenizerOf(thread: TokenizerThread, opened: Opened): Tokenizer {
  const { handle, size, special, start, end: behind, pair, files } = opened;
  const owner = { thread, handle };
  thread.tokenizers++;
  let closed = false;
  const open = (): Owner => {
    if (closed) throw new AttributionError("invalid", "The tokenizer is closed");
    return owner;
  };
  const tokenizer: Tokenizer = {
    encode: async (texts) => encodeAll(open(), texts),
    decode: async (ids) => ask<string>(thread, { kind: "decode", handle: open().handle, ids: idsOf(ids) }),
    tokenTexts: async (ids) => ask<string[]>(thread, { kind: "tokenTexts", handle: open().handle, ids: idsOf(ids) }),
    size,
    special: Object.freeze({ ...special }),
    start: Object.freeze([...start]),
    end: Object.freeze([...behind]),
    ...(pair !== undefined && { pair: Object.freeze(pair) }),
    files: Object.freeze([...files]),
    close: () => {
      if (closed) return;
      closed = true;
      forgotten.unregister(owner);
      release(owner);
    },
  };
  owners.set(tokenizer, owner);
  forgotten.register(tokenizer, owner, owner);
  return Object.freeze(tokenizer);
}

/** Texts and characters per message: small enough that neither side is busy for long with one. */
const mostTexts = 256;
const mostCharacters = 1 << 16;

async function encodeAll({ thread, handle }: Owner, texts: readonly string[]): Promise<Int32Array[]> {
  if (!Array.isArray(texts)) throw expected("texts", "an array of strings", texts);
  const pace = pacedBy(undefined);
  const rows: Int32Array[] = [];
  if (texts.length === 0) return rows;
  let next = batchFrom(texts, 0);
  let waiting = ask<Encoded>(thread, { kind: "encode", handle, texts: next });
  for (let sent = next.length; next.length > 0;) {
    const { ids, lengths } = await waiting;
    next = batchFrom(texts, sent);
    sent += next.length;
    if (next.length > 0) waiting = ask<Encoded>(thread, { kind: "encode", handle, texts: next });
    let at = 0;
    // Copied into this realm's arrays: jest has its own.
    for (const length of lengths)
      rows.push(new Int32Array(ids.buffer as ArrayBuffer, ids.byteOffset + 4 * at, ((at += length), length)).slice());
    await pace();
  }
  return rows;
}

function batchFrom(texts: readonly string[], start: number): readonly string[] {
  let [end, characters] = [start, 0];
  while (end < texts.length && end - start < mostTexts && characters < mostCharacters) {
    const text: unknown = texts[end];
    if (typeof text !== "string") throw expected(`texts[${end}]`, "a string", text);
    characters += text.length;
    end++;
  }
  return texts.slice(start, end);
}

async function sendEntries(
  thread: TokenizerThread,
  draft: number,
  kind: "vocabulary" | "merges",
  entries: Iterable<unknown>,
): Promise<void> {
  let batch: unknown[] = [];
  for (const entry of entries) {
    if (batch.push(entry) < 1024) continue;
    await ask(thread, { kind, draft, entries: batch });
    batch = [];
  }
  await ask(thread, { kind, draft, entries: batch });
}

function* entriesOf(vocab: object): Generator<unknown> {
  if (Array.isArray(vocab) || vocab instanceof Map) yield* vocab;
  else for (const token in vocab) yield [token, (vocab as Readonly<Record<string, unknown>>)[token]];
}

function requireObject(name: string, value: unknown): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw expected(name, "an object", value);
  return value as Json;
}

/** What a JSON file can hold, copied; the worker takes nothing else. */
function plain(name: string, value: Json): Json {
  try {
    return structuredClone(value);
  } catch {
    throw expected(name, "an object as its JSON file holds it", value);
  }
}

function idsOf(ids: ArrayLike<number>): Int32Array {
  const list = listOf("ids", "a list of token ids", ids);
  const wrong = list.findIndex((id) => !Number.isInteger(id) || id < 0 || id > 0x7fffffff);
  if (wrong >= 0) throw expected(`ids[${wrong}]`, "a token id, a whole number of at least 0", list[wrong]);
  return Int32Array.from(list);
}
