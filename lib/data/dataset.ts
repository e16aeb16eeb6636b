// Data sets as values: rows with labels by name and a fingerprint. Knows no file format and no model.
import { createHash } from "node:crypto";
import type { CallOptions } from "../../types/common";
import type { Dataset, Row } from "../../types/data";
import { AttributionError, expected } from "../errors";
import { listOf, onlyKnown, text } from "../options";
import { pacedBy } from "../pacing";

export interface CreateDatasetOptions extends CallOptions {
  /** What reports call it. @default "own" */
  readonly name?: string;
  /** Class names; `Row.label` counts in this order. @default [] (listwise data, or plain text) */
  readonly labels?: readonly string[];
}

/**
 * A data set from rows you have in memory: checks labels against the class names (or the row's `choices`) and takes the
 * fingerprint.
 * @example await createDataset([{ id: "0", fields: { claim: "Oslo is in Norway" }, label: 0 }], { labels: ["Supported", "Refuted"] })
 */
export async function createDataset(rows: readonly Row[], options?: CreateDatasetOptions): Promise<Dataset> {
  const bag = onlyKnown(options, ["name", "labels", "signal", "onProgress"]);
  if (!isList(rows)) throw expected("rows", "an array of rows", rows);
  const labels = checkedLabels(options?.labels ?? []);
  const name = text(bag, "name", "own");
  const pace = pacedBy(options?.signal);
  for (const [index, row] of rows.entries()) {
    checkRow(row, index, labels);
    await pace();
  }
  return finishDataset(name, rows.slice(), labels, pace);
}

/** Freezes checked rows and hashes them. */
export async function finishDataset(
  name: string,
  rows: Row[],
  labels: readonly string[],
  pace: () => Promise<void>,
): Promise<Dataset> {
  const hash = createHash("sha256");
  hash.update(JSON.stringify(labels));
  for (const row of rows) {
    hash.update(canonical(row));
    await pace();
  }
  return Object.freeze({
    name,
    rows: Object.freeze(rows),
    labels: Object.freeze([...labels]),
    hash: hash.digest("hex"),
  });
}

/** A row as text in which the order of its fields does not matter. */
function canonical(row: Row): string {
  const fields = Object.entries(row.fields).sort(([a], [b]) => (a < b ? -1 : 1));
  return `\n${JSON.stringify([row.id, row.label, fields])}`;
}

/**
 * The rows at `indices`, in that order, as a data set of its own; e.g. to hold out rows, or to sample.
 * @example await selectRows(dataset, [0, 5, 7])
 */
export async function selectRows(
  dataset: Dataset,
  indices: ArrayLike<number>,
  options?: CallOptions,
): Promise<Dataset> {
  onlyKnown(options, ["signal", "onProgress"]);
  requireDataset(dataset);
  const rows = listOf("indices", "a list of row numbers", indices).map((index) => {
    const row = dataset.rows[index];
    if (row === undefined) throw expected("indices", `whole numbers within 0–${dataset.rows.length - 1}`, index);
    return row;
  });
  return finishDataset(dataset.name, rows, dataset.labels, pacedBy(options?.signal));
}

export function requireDataset(value: unknown): asserts value is Dataset {
  const { rows, labels, hash } = (typeof value === "object" && value !== null ? value : {}) as Partial<Dataset>;
  if (!Array.isArray(rows) || !Array.isArray(labels) || typeof hash !== "string")
    throw expected("dataset", "a data set from loadDataset or createDataset", value);
}

/** Array.isArray without its narrowing, which turns readonly arrays into any[]. */
export function isList(value: unknown): boolean {
  return Array.isArray(value);
}

export function checkedLabels(labels: readonly string[]): readonly string[] {
  if (!isList(labels) || labels.some((label) => typeof label !== "string" || label === "")) {
    throw expected("labels", "an array of class names", labels);
  }
  if (new Set(labels).size !== labels.length) throw expected("labels", "an array of different class names", labels);
  return labels;
}

function checkRow(row: Row, index: number, labels: readonly string[]): void {
  const at = `rows[${index}]`;
  if (typeof row !== "object" || row === null) throw expected(at, "a row {id, fields, label}", row);
  if (typeof row.id !== "string") throw expected(`${at}.id`, "a string", row.id);
  if (typeof row.fields !== "object" || row.fields === null)
    throw expected(`${at}.fields`, "an object of texts", row.fields);
  for (const [name, value] of Object.entries(row.fields)) {
    const isText =
      typeof value === "string" || (Array.isArray(value) && value.every((item) => typeof item === "string"));
    if (!isText) throw expected(`${at}.fields.${name}`, "a text or an array of texts", value);
  }
  const choices = row.fields["choices"];
  const classes = labels.length > 0 ? labels.length : Array.isArray(choices) ? choices.length : 0;
  if (!Number.isInteger(row.label) || row.label < -1 || row.label >= classes) {
    throw new AttributionError(
      "invalid",
      `Expected "${at}.label" within −1–${classes - 1} (−1: unknown) but received ${String(row.label)}`,
    );
  }
}
