// Models, data sets and prompts as commands name them: a path, with the flags of loadModel, loadDataset and encode.
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { Dataset, Instances, Row } from "../../types/data";
import type { Model } from "../../types/model";
import { conversationJson, isConversation } from "../data/conversation";
import { createDataset } from "../data/dataset";
import { encode, type EncodeOptions } from "../data/encode";
import { type DatasetName, loadDataset, type LoadDatasetOptions } from "../data/load-dataset";
import { formatOfFile } from "../data/file-format";
import { createInstances, noTarget } from "../data/instances";
import { AttributionError } from "../errors";
import { isHubId } from "../hub/repository";
import { fileExists } from "../storage/files";
import { evaluate } from "../model/evaluate";
import { loadModel, type LoadModelOptions } from "../model/load-model";
import type { HeadRequest } from "../model/config/head";
import { type Context, requireReadable } from "./context";
import { addFlags, optionsFor, type Values } from "./flags";

export const datasetFormats = ["jsonl", "csv", "parquet", "hub", "mnli", "snli", "averitec", "csqa", "hans"] as const;

/** Flags of whatever loads a model. */
export function addModelFlags(command: Command): Command {
  return addFlags(command, ["loadModel"]);
}

/** Flags of whatever reads data. */
export function addDataFlags(command: Command): Command {
  return addFlags(
    command
      .option(`--format <${datasetFormats.join("|")}>`, "The data set's form (default: by the file's ending)")
      .option("--data-revision <text>", "Hub data: the branch, tag or commit that holds its Parquet files")
      .option(
        "--field <name=key>",
        "Own data: a field by its column or key; may be given several times",
        (pair: string, before: Record<string, string> = {}) => ({ ...before, ...fieldOf(pair) }),
      ),
    ["loadDataset", "encode"],
    ["path", "fields", "revision"],
  );
}

function fieldOf(pair: string): Record<string, string> {
  const at = pair.indexOf("=");
  if (at < 1 || at === pair.length - 1)
    throw new AttributionError("invalid", `Expected --field to be name=key but received "${pair}"`);
  return { [pair.slice(0, at)]: pair.slice(at + 1) };
}

/** Loads a model; `head` may be its kind alone. */
export function openModel(context: Context, source: string, values: Values, head?: HeadRequest): Promise<Model> {
  const asked = values["head"];
  const options = {
    ...optionsFor("loadModel", values),
    ...(asked === undefined
      ? head === undefined
        ? {}
        : { head }
      : { head: typeof asked === "string" ? { kind: asked } : asked }),
  } as LoadModelOptions;
  return context.step(
    `Loading ${source}`,
    (call) => loadModel(source, { ...options, ...call }),
    ({ architecture, parameters }) => `${architecture.family}, ${parameters} parameters`,
  );
}

/** Reads a data set: a file that exists, or one of the hub by its id. */
export async function openData(context: Context, path: string, values: Values): Promise<Dataset> {
  const isFile = await fileExists(path);
  const format = (values["format"] ?? (!isFile && isHubId(path) ? "hub" : formatOfFile(path))) as DatasetName;
  if (format !== "hub") await requireReadable(path, "The data file");
  const fields = values["field"] as Record<string, string> | undefined;
  const { revision: _ofModel, ...named } = optionsFor("loadDataset", values);
  const options = {
    ...named,
    ...(values["dataRevision"] === undefined ? {} : { revision: values["dataRevision"] }),
    path,
    ...(fields === undefined ? {} : { fields }),
  } as LoadDatasetOptions;
  return context.step(
    `Reading ${path}`,
    (call) => loadDataset(format, { ...options, ...call }),
    ({ rows }) => `${rows.length} rows`,
  );
}

export function encoded(context: Context, model: Model, dataset: Dataset, values: Values): Promise<Instances> {
  return context.step(`Encoding ${dataset.name}`, (call) =>
    encode(model, dataset, { ...encodeOptions(model, values), ...call }),
  );
}

/** Labels of `loadDataset` are no labels of `encode`, and a classifier has no targets. */
function encodeOptions({ architecture }: Model, values: Values): EncodeOptions {
  const { labels: _labels, targets, answerSeparator, ...options } = optionsFor("encode", values) as EncodeOptions;
  if (architecture.head.kind !== "causalLM") return options;
  return { ...options, ...(targets && { targets }), ...(answerSeparator && { answerSeparator }) };
}

export interface Prompts {
  /** With the predicted class, choice or next token as their label, so that they have a loss. */
  readonly instances: Instances;
  /** [prompt] the prediction in words, and its probability. */
  readonly predictions: readonly string[];
  readonly probabilities: Float64Array;
}

/**
 * Prompts: one text, an object with fields in JSON, or a file of them (.jsonl, or .txt with a prompt on each line). The model's own
 * prediction is their label. `like` gives a plain text the field that the training data have.
 */
export async function openPrompts(
  context: Context,
  model: Model,
  prompt: string,
  values: Values,
  like?: Dataset,
): Promise<Prompts> {
  const { kind } = model.architecture.head;
  const rows = await promptRows(prompt, like);
  const isPlain = like === undefined && values["template"] === undefined && rows[0].fields["text"] !== undefined;
  const options = {
    ...values,
    ...(isPlain ? { template: "{text}" } : {}),
    ...(kind === "causalLM" ? { targets: "next" } : {}),
  };
  const labels = kind === "classification" ? model.labels : [];
  const first = await encoded(context, model, await createDataset(rows, { name: "prompts", labels }), options);
  const { predictions, probabilities } = await context.step("Predicting", (call) => evaluate(model, first, call));
  const words =
    kind === "causalLM" || kind === "maskedLM"
      ? await model.tokenizer.tokenTexts(predictions)
      : Array.from(predictions, (label) => (kind === "choice" ? `choice ${label + 1}` : model.labels[label]));
  return { instances: answered(first, predictions), predictions: words, probabilities };
}

/** The same instances with these labels; a causal LM's last position and a masked LM's mask must predict theirs, and nothing else counts. */
function answered(instances: Instances, labels: Int32Array): Instances {
  const { kind, tokens, rowOffsets, groupOffsets, targets, tokenTypes, ids, texts } = instances;
  const rows = Array.from({ length: rowOffsets.length - 1 }, (_, row) =>
    tokens.subarray(rowOffsets[row], rowOffsets[row + 1]),
  );
  const groups = Array.from({ length: ids.length }, (_, i) => groupOffsets[i + 1] - groupOffsets[i]);
  const lastOnly = (row: Int32Array, at: number): Int32Array =>
    new Int32Array(row.length).fill(noTarget).fill(labels[at], row.length - 1);
  const maskedOnly = (row: Int32Array, at: number): Int32Array =>
    targets.slice(rowOffsets[at], rowOffsets[at + 1]).map((target) => (target === noTarget ? target : labels[at]));
  const types = tokenTypes && rows.map((_, row) => tokenTypes.subarray(rowOffsets[row], rowOffsets[row + 1]));
  return createInstances({
    kind,
    rows,
    ...(kind === "maskedLM" ? { targets: rows.map(maskedOnly) } : { labels }),
    ...(types && { tokenTypes: types }),
    ids,
    texts,
    ...(kind === "choice" ? { groups } : {}),
    ...(kind === "causalLM" ? { targets: rows.map(lastOnly) } : {}),
  });
}

async function promptRows(prompt: string, like: Dataset | undefined): Promise<Row[]> {
  const isFile = /\.(jsonl|txt)$/.test(prompt);
  const lines = isFile
    ? (await readFile(await requireReadable(prompt, "The file of prompts"), "utf8")).split(/\r?\n/)
    : [prompt];
  const rows = lines
    .filter((line) => line.trim() !== "")
    .map((line, at) => ({ id: String(at), fields: fieldsOf(line, like), label: -1 }));
  if (rows.length > 0) return rows;
  throw new AttributionError("invalid", isFile ? `${prompt} holds no prompts` : "The prompt is empty");
}

function fieldsOf(line: string, like: Dataset | undefined): Row["fields"] {
  if (/^\s*\{/.test(line)) {
    const { label: _label, id: _id, ...fields } = parsed(line);
    const { messages } = fields;
    if (isConversation(messages)) return { messages: conversationJson("the prompt", 1, messages) };
    return fields as Row["fields"];
  }
  const names = Object.keys(like?.rows[0]?.fields ?? { text: "" }).filter((name) => name !== "answer");
  if (names.includes("messages")) return { messages: JSON.stringify([{ role: "user", content: line }]) };
  if (names.length === 1) return { [names[0]]: line };
  const known = ["claim", "prompt", "text"].find((name) => names.includes(name));
  if (known !== undefined) return { [known]: line };
  throw new AttributionError(
    "invalid",
    `The data have the fields ${names.join(", ")}: give the prompt as JSON, {"${names[0]}": "…", …}`,
  );
}

function parsed(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch (cause) {
    throw new AttributionError("invalid", `The prompt begins with "{" but is no JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
}
