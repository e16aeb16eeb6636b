// What every reader of a data set's file yields, and how a record's values are read: typed, with file and line in every refusal.
import type { CallOptions } from "../../types/common";
import type { Row } from "../../types/data";
import { corruptAt } from "./read-text";

/** One example as its file has it; `load-dataset` gives it an id where it has none and turns the label into an index. */
export interface SourceRow {
  readonly id?: string;
  readonly fields: Row["fields"];
  /** Class name, class index, index of the right choice; undefined where the file gives none. */
  readonly label: string | number | undefined;
  readonly line: number;
}

/** A data set's reader. `labels`: its class names in order, or where they come from. */
export interface DatasetSource {
  readonly labels: readonly string[] | "found";
  read(path: string, mapping: FieldMapping, call: CallOptions): AsyncGenerator<SourceRow>;
}

/** Own data only: which column or key holds what. */
export interface FieldMapping {
  readonly fields?: Readonly<Record<string, string>>;
  readonly label?: string | null;
  readonly id?: string | null;
  readonly delimiter?: string;
  /** Hub only: which part of which variant, and of which commit. */
  readonly split?: string;
  readonly variant?: string;
  readonly revision?: string;
}

/** What files write where they have no label: nothing, null, −1, "-" or "n/a"; one meaning in every format. */
export function isNoLabel(value: unknown): boolean {
  if (typeof value === "string") return /^\s*(-1|-|n\/a)?\s*$/i.test(value);
  return value === undefined || value === null || value === -1;
}

type Record_ = Readonly<Record<string, unknown>>;

/** The text at `key`; a record without it is refused. */
export function textAt(path: string, line: number, record: Record_, key: string): string {
  const value = record[key];
  if (typeof value === "string") return value;
  throw corruptAt(
    path,
    line,
    value === undefined ? `has no "${key}"` : `expected "${key}" to be a text but found ${JSON.stringify(value)}`,
  );
}

/** The text at `key`, empty where there is none or null. */
export function optionalText(record: Record_, key: string): string {
  const value = record[key];
  return typeof value === "string" ? value : "";
}

/** An id as text, where there is one. */
export function idOf(path: string, line: number, value: unknown): { readonly id?: string } {
  if (value === undefined || value === null) return {};
  if (typeof value === "string" || typeof value === "number") return { id: String(value) };
  throw corruptAt(path, line, `expected the id to be a text or a number but found ${JSON.stringify(value)}`);
}

export function arrayAt(path: string, line: number, record: Record_, key: string): readonly unknown[] {
  const value = record[key];
  if (!Array.isArray(value)) throw corruptAt(path, line, `expected "${key}" to be an array`);
  return value;
}

export function objectOf(path: string, line: number, value: unknown, what: string): Record_ {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw corruptAt(path, line, `expected ${what} to be an object`);
  return value as Record_;
}
