// loadDataset: a file of a known data set, or your own, as readable rows with labels by name. Streams. Only "hub" downloads.
import type { CallOptions } from "../../types/common";
import type { Dataset, Row } from "../../types/data";
import { AttributionError, expected, shown } from "../errors";
import { boolean, integer, onlyKnown, text } from "../options";
import { checkedLabels, finishDataset } from "./dataset";
import { averitec } from "./datasets/averitec";
import { csqa } from "./datasets/csqa";
import { hans } from "./datasets/hans";
import { mnli } from "./datasets/mnli";
import { csv, jsonl, parquet } from "./datasets/own";
import { hub } from "./datasets/hub";
import { snli } from "./datasets/snli";
import { pacedBy, stopIfAborted } from "../pacing";
import { corruptAt } from "./read-text";
import type { DatasetSource, FieldMapping, SourceRow } from "./source-row";

const sources = { mnli, snli, averitec, csqa, hans, jsonl, csv, parquet, hub } satisfies Record<string, DatasetSource>;

export type DatasetName = keyof typeof sources;

export interface LoadDatasetOptions extends CallOptions {
  /** The file; for "hub" the id of the data set. */
  readonly path: string;
  /** Keep the first rows only, counted after rows were left out. @default all */
  readonly limit?: number;
  /** Leave out rows without a label; otherwise their label is −1. @default false */
  readonly onlyLabelled?: boolean;
  /**
   * Class names in the order wanted (other names in the file are refused), or new names by the file's names, e.g.
   * `{ neutral: "non-entailment", contradiction: "non-entailment" }`.
   * @default the data set's own; own data: the names found, sorted
   */
  readonly labels?: readonly string[] | Readonly<Record<string, string>>;
  /** Own data: field by column or key (dots lead into nested objects). @default every text, under its own name */
  readonly fields?: Readonly<Record<string, string>>;
  /** Own data: the column or key of the label; null for none. @default "label" */
  readonly label?: string | null;
  /** Own data: the column or key of the id; null for none. @default "id" */
  readonly id?: string | null;
  /** CSV: the character between cells. @default "," (a tab in a file named .tsv) */
  readonly delimiter?: string;
  /** Hub: the split. @default "train" */
  readonly split?: string;
  /** Hub: the variant of a data set that has several (also called its configuration). @default the only one, or "default" */
  readonly variant?: string;
  /** Hub: the branch, tag or commit that holds the data as Parquet files. @default "refs/convert/parquet" */
  readonly revision?: string;
}

const optionNames = [
  "path",
  "limit",
  "onlyLabelled",
  "labels",
  "fields",
  "label",
  "id",
  "delimiter",
  "split",
  "variant",
  "revision",
  "signal",
  "onProgress",
];

/**
 * Reads a data set's file: "mnli" and "snli" (official jsonl, GLUE or SNLI tsv, plain premise/hypothesis/label jsonl; rows
 * without an agreed label, "-", are left out), "averitec", "csqa" (listwise), "hans" (two classes), "jsonl", "csv" and "parquet"
 * (your own), and "hub", a data set of the Hugging Face hub by its id. Files may be compressed by gzip or Zstandard. A list of turns
 * (`messages`, ShareGPT's `conversations`, TRL's conversational `prompt` and `completion`) becomes the field `messages`. Rows are in the file's order; a row's id is the file's, or its 0-based place among the file's rows. The number of
 * rows is not known beforehand, so progress counts rows read (`total` is `limit`, or the count so far).
 * @example const train = await loadDataset("averitec", { path: "averitec/train.json" })
 */
export async function loadDataset(name: DatasetName, options: LoadDatasetOptions): Promise<Dataset> {
  const bag = onlyKnown(options, optionNames);
  if (typeof name !== "string" || !Object.hasOwn(sources, name)) {
    throw new AttributionError(
      "unknown",
      `Unknown data set ${shown(name)}. Known: ${Object.keys(sources).join(", ")}; your own: "jsonl", "csv" or "parquet"`,
    );
  }
  const path = text(bag, "path");
  const source: DatasetSource = sources[name];
  const limit = options.limit === undefined ? Infinity : integer(bag, "limit", 0, 1);
  const keep = { path, limit, onlyLabelled: boolean(bag, "onlyLabelled", false) };
  const naming = checkedNaming(options.labels, source, name);
  stopIfAborted(options.signal);
  const rows = await collect(source.read(path, checkedMapping(name, options), options), keep, options);
  return labelled(name, path, rows, naming, options);
}

interface Kept extends SourceRow {
  readonly id: string;
}

async function collect(
  source: AsyncGenerator<SourceRow>,
  keep: { path: string; limit: number; onlyLabelled: boolean },
  call: CallOptions,
): Promise<Kept[]> {
  const pace = pacedBy(call.signal);
  const rows: Kept[] = [];
  let place = 0;
  const report = (): unknown =>
    call.onProgress?.({
      done: rows.length,
      total: Number.isFinite(keep.limit) ? keep.limit : rows.length,
      stage: "rows",
    });
  for await (const row of source) {
    const id = row.id ?? String(place);
    place++;
    const unlabelled = row.label === undefined || row.label === -1;
    if (!(unlabelled && keep.onlyLabelled)) rows.push({ ...row, id });
    if (rows.length % 1000 === 0) await report();
    if (rows.length === keep.limit) break;
    await pace();
  }
  if (rows.length === 0) throw corruptAt(keep.path, 1, keep.onlyLabelled ? "holds no labelled rows" : "holds no rows");
  await report();
  return rows;
}

/** How a file's label becomes a class: `rename` first, then its place in `labels` (absent: the names found, sorted). */
interface Naming {
  readonly labels?: readonly string[];
  readonly numbered?: readonly string[];
  rename(name: string): string;
}

function checkedNaming(labels: LoadDatasetOptions["labels"], source: DatasetSource, name: string): Naming {
  const own = source.labels === "found" ? undefined : source.labels;
  const same = (label: string): string => label;
  const numbered = own === undefined ? {} : { numbered: own };
  if (labels === undefined) return own === undefined ? { rename: same } : { labels: own, rename: same, ...numbered };
  if (own?.length === 0)
    throw new AttributionError("invalid", `"labels" was given, but "${name}" is listwise and has no classes`);
  if (Array.isArray(labels)) return { labels: checkedLabels(labels as string[]), rename: same, ...numbered };
  if (
    typeof labels !== "object" ||
    labels === null ||
    Object.values(labels).some((to) => typeof to !== "string" || to === "")
  ) {
    throw expected("labels", "an array of class names, or an object from the file's names to new ones", labels);
  }
  const names = labels as Readonly<Record<string, string>>;
  const rename = (label: string): string => (Object.hasOwn(names, label) ? names[label] : label);
  return own === undefined ? { rename } : { labels: [...new Set(own.map(rename))], rename, ...numbered };
}

async function labelled(
  name: string,
  path: string,
  rows: readonly Kept[],
  naming: Naming,
  call: CallOptions,
): Promise<Dataset> {
  const pace = pacedBy(call.signal);
  const nameOf = ({ label, line }: Kept): string | undefined => {
    if (typeof label !== "number") return label === undefined ? undefined : naming.rename(label);
    if (label === -1) return undefined;
    const numbered = naming.numbered?.[label];
    if (numbered === undefined)
      throw corruptAt(path, line, `has the label ${label}; the classes are ${(naming.numbered ?? []).join(", ")}`);
    return naming.rename(numbered);
  };
  const listwise = Array.isArray(rows[0].fields["choices"]) && (naming.labels ?? []).length === 0;
  const found = new Set<string>();
  for (const row of naming.labels === undefined && !listwise ? rows : []) {
    const label = nameOf(row);
    if (label !== undefined) found.add(label);
    await pace();
  }
  const labels = listwise ? [] : (naming.labels ?? [...found].sort());
  const indexOf = new Map(labels.map((label, index) => [label, index]));
  const finished: Row[] = [];
  for (const row of rows) {
    if (listwise && !Array.isArray(row.fields["choices"]))
      throw corruptAt(path, row.line, "has no choices, unlike the rows before it");
    const label = listwise ? Number(row.label ?? -1) : indexIn(path, row.line, nameOf(row), indexOf);
    finished.push(Object.freeze({ id: row.id, fields: Object.freeze(row.fields), label }));
    await pace();
  }
  return finishDataset(name, finished, labels, pace);
}

function indexIn(path: string, line: number, label: string | undefined, indexOf: ReadonlyMap<string, number>): number {
  if (label === undefined) return -1;
  const index = indexOf.get(label);
  if (index === undefined)
    throw corruptAt(path, line, `has the label "${label}"; the classes are ${[...indexOf.keys()].join(", ")}`);
  return index;
}

const hubOnly = ["split", "variant", "revision"] as const;
const ownOnly = ["fields", "label", "id"] as const;

function checkedMapping(name: DatasetName, options: LoadDatasetOptions): FieldMapping {
  const bag = { ...options };
  const own = ["jsonl", "csv", "parquet", "hub"].includes(name);
  for (const option of own ? [] : ownOnly) {
    if (options[option] !== undefined)
      throw new AttributionError(
        "invalid",
        `"${option}" is for your own data ("jsonl", "csv", "parquet", "hub"); "${name}" has its own shape`,
      );
  }
  const { fields, label, id, delimiter } = options;
  for (const option of name === "hub" ? [] : hubOnly) {
    if (options[option] !== undefined)
      throw new AttributionError("invalid", `"${option}" is for "hub", not for "${name}"`);
  }
  if (delimiter !== undefined && name !== "csv")
    throw new AttributionError("invalid", `"delimiter" is for "csv", not for "${name}"`);
  if (
    delimiter !== undefined &&
    (typeof delimiter !== "string" || [...delimiter].length !== 1 || /["\r\n]/.test(delimiter))
  )
    throw expected("delimiter", "one character", delimiter);
  for (const [option, value] of Object.entries({ label, id })) {
    if (value !== undefined && value !== null && (typeof value !== "string" || value === ""))
      throw expected(option, "a column or key, or null", value);
  }
  const isMap =
    fields === undefined ||
    (typeof fields === "object" && fields !== null && Object.values(fields).every((key) => typeof key === "string"));
  if (!isMap || (fields !== undefined && Object.keys(fields).length === 0))
    throw expected("fields", "an object from field to column or key", fields);
  return {
    ...(fields === undefined ? {} : { fields }),
    ...(label === undefined ? {} : { label }),
    ...(id === undefined ? {} : { id }),
    ...(delimiter === undefined ? {} : { delimiter }),
    ...Object.fromEntries(hubOnly.filter((key) => options[key] !== undefined).map((key) => [key, text(bag, key)])),
  };
}
