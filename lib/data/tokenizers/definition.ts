// What a tokenizer is made of, read from a checkpoint's files: tokenizer.json, or vocab.json + merges.txt (GPT-2's byte-level
// BPE), and the special tokens that the configuration files name. Runs in the tokenizer worker, so it may block.
import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { AttributionError } from "../../errors";
import { readRegularFile } from "../../storage/regular-file";

export type Json = Readonly<Record<string, unknown>>;
/** An entry of tokenizer.json's `added_tokens`. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly [flag: string]: unknown;
}
export const roles = ["bos", "eos", "pad", "unk"] as const;
export type Role = (typeof roles)[number] | "mask";

/** A tokenizer.json and tokenizer_config.json, complete: every special token has its id. */
export interface Definition {
  readonly json: Json & { readonly model: Json; readonly added_tokens: readonly AddedToken[] };
  readonly config: Json;
  readonly special: Readonly<Partial<Record<Role, number>>>;
  readonly size: number;
  readonly files: readonly string[];
}

export type TokenizerFiles = { readonly directory: string } | { readonly files: readonly string[] };

const fileNames = [
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "config.json",
  "chat_template.jinja",
] as const;
type FileName = (typeof fileNames)[number];
type Found = Partial<Record<FileName, string>>;

export function readDefinition(source: TokenizerFiles): Definition {
  const found = findFiles(source);
  const where = "directory" in source ? source.directory : source.files.join(", ");
  const pieces = found["tokenizer.json"] === undefined;
  if (pieces && (found["vocab.json"] === undefined || found["merges.txt"] === undefined))
    throw noTokenizer(source, where);
  const json = pieces ? fromPieces(found["vocab.json"]!, found["merges.txt"]!) : readJson(found["tokenizer.json"]!);
  const map = found["special_tokens_map.json"] === undefined ? {} : readJson(found["special_tokens_map.json"]);
  const config = found["tokenizer_config.json"] === undefined ? {} : readJson(found["tokenizer_config.json"]);
  const chat = found["chat_template.jinja"];
  const named = {
    ...map,
    ...Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null)),
    ...(chat === undefined ? {} : { chat_template: readRegularFile(chat, mostBytes) }),
  };
  const more = found["added_tokens.json"] === undefined ? {} : readJson(found["added_tokens.json"]);
  const model = found["config.json"] === undefined ? {} : readJson(found["config.json"]);
  const used = fileNames.filter(
    (name) => name !== "config.json" && !(name === "tokenizer.json" ? pieces : !pieces && /^(vocab|merges)/.test(name)),
  );
  const files = used.flatMap((name) => found[name] ?? []);
  return define(json, pieces ? withPieceNames(named, json, model) : named, { files, more, model, where });
}

interface Beside {
  readonly files?: readonly string[];
  readonly more?: Json;
  readonly model?: Json;
  readonly where?: string;
}

/** Checks the vocabulary, gives every named special token an entry in `added_tokens`, and finds the ids by role. */
export function define(
  json: Json,
  config: Json,
  { files = [], more = {}, model = {}, where = "the tokenizer" }: Beside = {},
): Definition {
  const inner = json["model"];
  if (!isObject(inner)) throw new AttributionError("corrupt", `${where}: the tokenizer has no "model"`);
  const ids = vocabularyOf(inner, where);
  const added = [...(Array.isArray(json["added_tokens"]) ? (json["added_tokens"] as AddedToken[]) : [])];
  for (const token of added) ids.set(token.content, token.id);
  let next = 1 + [...ids.values()].reduce((most, id) => Math.max(most, id), -1);
  const add = (content: string, flags: Json, id = ids.get(content)): void => {
    if (added.some((token) => token.content === content)) return;
    const given = id ?? next;
    next = Math.max(next, given + 1);
    ids.set(content, given);
    added.push({
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
      ...flags,
      id: given,
      content,
    });
  };
  for (const [id, token] of Object.entries(
    isObject(config["added_tokens_decoder"]) ? config["added_tokens_decoder"] : {},
  )) {
    if (isObject(token)) add(contentOf(token)!, flagsOf(token), Number(id));
  }
  for (const [content, id] of Object.entries(more)) add(content, { special: false }, Number(id));
  for (const token of namedTokens(config)) add(contentOf(token)!, isObject(token) ? flagsOf(token) : {});
  added.sort((a, b) => a.id - b.id);
  const special = specialIds(config, model, ids, next);
  return { json: { ...json, model: inner, added_tokens: added }, config, special, size: next, files };
}

/** The definition with one more token, under the next free id, in the role of padding. */
export function definitionWithPad(definition: Definition, content: string): Definition {
  const { json, config, special, files } = definition;
  if (
    json.added_tokens.some((token) => token.content === content) ||
    vocabularyOf(json.model, "the tokenizer").has(content)
  ) {
    throw new AttributionError(
      "invalid",
      `Expected "token" to be a new token but the vocabulary holds "${content}" already`,
    );
  }
  const extended = define(json, { ...config, pad_token: content }, { files: [] });
  return { ...extended, special: { ...special, pad: extended.special.pad! }, files };
}

function findFiles(source: TokenizerFiles): Found {
  if ("files" in source) {
    const known = source.files.filter((path) => (fileNames as readonly string[]).includes(basename(path)));
    return Object.fromEntries(known.map((path) => [basename(path), path]));
  }
  const { directory } = source;
  if (!existsSync(directory) || !statSync(directory).isDirectory()) {
    throw new AttributionError(
      "missing",
      `No directory ${directory}. Give a directory with tokenizer.json, or with vocab.json and merges.txt`,
    );
  }
  return Object.fromEntries(
    fileNames.map((name) => [name, join(directory, name)] as const).filter(([, path]) => existsSync(path)),
  );
}

function noTokenizer(source: TokenizerFiles, where: string): AttributionError {
  const expected = "Expected tokenizer.json, or vocab.json and merges.txt";
  const sentencePiece =
    "directory" in source
      ? existsSync(join(source.directory, "tokenizer.model"))
      : source.files.some((path) => basename(path) === "tokenizer.model");
  if (!sentencePiece) return new AttributionError("missing", `${where} holds no tokenizer. ${expected}`);
  return new AttributionError(
    "unsupported",
    `${where} holds a SentencePiece tokenizer.model only. ${expected}; transformers' save_pretrained writes it`,
  );
}

/** Far above any tokenizer's file (the largest known has some 35 MB). */
const mostBytes = 1 << 27;

function readJson(path: string): Json {
  try {
    const value: unknown = JSON.parse(readRegularFile(path, mostBytes));
    if (isObject(value)) return value;
  } catch (cause) {
    if (cause instanceof AttributionError) throw cause;
    throw new AttributionError("corrupt", `${path} is not valid JSON (${(cause as Error).message})`, { cause });
  }
  throw new AttributionError("corrupt", `${path}: expected a JSON object`);
}

/** GPT-2's tokenizer from its two files, as transformers builds it. */
function fromPieces(vocabFile: string, mergesFile: string): Json {
  const vocab = readJson(vocabFile);
  const lines = readRegularFile(mergesFile, mostBytes)
    .split("\n")
    .map((line) => line.replace(/\r$/, ""));
  const merges = lines.flatMap((line, index) => {
    if (line === "" || (index === 0 && line.startsWith("#version"))) return [];
    const pair = line.split(" ");
    if (pair.length === 2 && pair[0] !== "" && pair[1] !== "") return [pair];
    throw new AttributionError("corrupt", `${mergesFile}:${index + 1}: expected two tokens separated by a space`);
  });
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: { ...byteLevel, trim_offsets: false },
    decoder: { ...byteLevel, add_prefix_space: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      byte_fallback: false,
      vocab,
      merges,
    },
  };
}

/** Where no file names the special tokens of vocab.json + merges.txt: config.json's ids, else GPT-2's own token. */
function withPieceNames(config: Json, json: Json, model: Json): Json {
  const vocab = (json["model"] as { vocab: Readonly<Record<string, number>> }).vocab;
  const names: Record<string, unknown> = {};
  const usual = !roles.some((role) => modelId(model, role) !== undefined) && Object.hasOwn(vocab, "<|endoftext|>");
  for (const role of roles.filter((role) => contentOf(config[`${role}_token`]) === undefined)) {
    const id = modelId(model, role);
    const content = id === undefined ? undefined : Object.keys(vocab).find((token) => vocab[token] === id);
    if (content !== undefined) names[`${role}_token`] = content;
    else if (role !== "pad" && usual) names[`${role}_token`] = "<|endoftext|>";
  }
  return { ...config, ...names };
}

/** Ids by token; refuses ids that are no ids or given twice. */
function vocabularyOf(model: Json, where: string): Map<string, number> {
  const vocab = model["vocab"];
  if (typeof vocab !== "object" || vocab === null)
    throw new AttributionError("corrupt", `${where}: the tokenizer's model has no "vocab"`);
  const ids = new Map(
    Array.isArray(vocab)
      ? vocab.map((entry, id) => [String((entry as unknown[])[0]), id])
      : Object.entries(vocab as Readonly<Record<string, number>>),
  );
  const seen = new Set<number>();
  for (const [token, id] of ids) {
    if (!Number.isInteger(id) || id < 0 || seen.has(id))
      throw new AttributionError(
        "corrupt",
        `${where}: the token ${JSON.stringify(token)} has the id ${String(id)}, which is no id of its own`,
      );
    seen.add(id);
  }
  if (model["type"] === "BPE" && !Array.isArray(model["merges"]))
    throw new AttributionError("corrupt", `${where}: a BPE tokenizer needs "merges"`);
  return ids;
}

function namedTokens(config: Json): unknown[] {
  const lists = [config["additional_special_tokens"], config["extra_special_tokens"]].filter((list) =>
    Array.isArray(list),
  ) as unknown[][];
  return [...[...roles, "sep", "cls", "mask"].map((role) => config[`${role}_token`]), ...lists.flat()].filter(
    (token) => contentOf(token) !== undefined,
  );
}

function specialIds(config: Json, model: Json, ids: ReadonlyMap<string, number>, size: number): Definition["special"] {
  const special: Partial<Record<Role, number>> = {};
  for (const role of [...roles, "mask"] as const) {
    const content = contentOf(config[`${role}_token`]);
    const id = content === undefined ? modelId(model, role) : ids.get(content);
    if (id !== undefined && id < size) special[role] = id;
  }
  return special;
}

/** config.json's id of a role; of several ends the first. */
function modelId(model: Json, role: Role): number | undefined {
  const value = model[`${role}_token_id`];
  const id: unknown = Array.isArray(value) ? value[0] : value;
  return typeof id === "number" && Number.isInteger(id) && id >= 0 ? id : undefined;
}

export function contentOf(token: unknown): string | undefined {
  const content = isObject(token) ? token["content"] : token;
  return typeof content === "string" && content !== "" ? content : undefined;
}

function flagsOf(token: Json): Json {
  return Object.fromEntries(
    ["single_word", "lstrip", "rstrip", "normalized", "special"]
      .filter((flag) => typeof token[flag] === "boolean")
      .map((flag) => [flag, token[flag]]),
  );
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
