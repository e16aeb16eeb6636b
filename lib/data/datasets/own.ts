// Your own data: JSONL (or a JSON array of objects), CSV and Parquet. By default every text becomes a field of its own name, "label"
// is the label and "id" the id; `fields`, `label` and `id` choose others. `choices` (an array) makes the data listwise. A list of
// turns becomes the field `messages`.
import { conversationIn, conversationJson, isConversation } from "../conversation";
import { isTabbed } from "../file-format";
import { readParquet } from "../parquet/read-parquet";
import { readJsonObjects } from "../read-json";
import { readDelimited } from "../read-table";
import { corruptAt } from "../read-text";
import { type DatasetSource, type FieldMapping, idOf, isNoLabel, type SourceRow } from "../source-row";

export const jsonl: DatasetSource = {
  labels: "found",
  async *read(path, mapping) {
    for await (const { value, line } of readJsonObjects(path)) yield ownRow(path, line, value, mapping);
  },
};

export const csv: DatasetSource = {
  labels: "found",
  async *read(path, mapping) {
    const delimiter = mapping.delimiter ?? (isTabbed(path) ? "\t" : ",");
    for await (const { value, line } of readDelimited(path, delimiter)) yield ownRow(path, line, value, mapping);
  },
};

export const parquet: DatasetSource = {
  labels: "found",
  async *read(path, mapping, { signal }) {
    const { fields, label = "label", id = "id" } = mapping;
    const columns = fields && [...Object.values(fields), ...[label, id].filter((key) => key !== null)];
    for await (const { value, line } of readParquet(path, columns, signal)) yield ownRow(path, line, value, mapping);
  },
};

type Values = Readonly<Record<string, unknown>>;

function ownRow(path: string, line: number, value: Values, mapping: FieldMapping): SourceRow {
  const labelKey = mapping.label === undefined ? "label" : mapping.label;
  const idKey = mapping.id === undefined ? "id" : mapping.id;
  const id = idKey === null ? undefined : valueAt(value, idKey);
  if (id === undefined && typeof mapping.id === "string")
    throw corruptAt(path, line, `has no "${mapping.id}", which "id" names`);
  const fields =
    mapping.fields === undefined
      ? allFields(path, line, value, [labelKey, idKey])
      : Object.fromEntries(
          Object.entries(mapping.fields).map(([name, key]) => [name, fieldAt(path, line, value, key)]),
        );
  return {
    ...idOf(path, line, id),
    fields,
    label: labelKey === null ? undefined : labelAt(path, line, value, labelKey, fields["choices"]),
    line,
  };
}

/** The value at a key; dots lead into nested objects ("question.stem") where no key is spelt like that. */
function valueAt(value: Values, key: string): unknown {
  if (Object.hasOwn(value, key)) return value[key];
  return key
    .split(".")
    .reduce<unknown>(
      (inner, name) =>
        typeof inner === "object" && inner !== null && Object.hasOwn(inner, name) ? (inner as Values)[name] : undefined,
      value,
    );
}

function fieldAt(path: string, line: number, value: Values, key: string): string | readonly string[] {
  const found = valueAt(value, key);
  if (isConversation(found)) return conversationJson(path, line, found);
  const field = asField(found);
  if (field !== undefined) return field;
  const inner =
    typeof found === "object" && found !== null && !Array.isArray(found) ? Object.keys(found)[0] : undefined;
  const words = inner === undefined ? "" : `, but an object. Name a text within it, such as "${key}.${inner}"`;
  throw corruptAt(path, line, `has no text "${key}", which "fields" names${words}`);
}

function asField(value: unknown): string | readonly string[] | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined;
}

function allFields(
  path: string,
  line: number,
  value: Values,
  without: readonly (string | null)[],
): Record<string, string | readonly string[]> {
  const conversation = conversationIn(path, line, value);
  const fields: [string, string | readonly string[]][] =
    conversation === undefined ? [] : [["messages", conversation.json]];
  for (const [name, entry] of Object.entries(value)) {
    const field = without.includes(name) || conversation?.keys.includes(name) ? undefined : asField(entry);
    if (field !== undefined) fields.push([name, field]);
  }
  if (fields.length === 0) throw corruptAt(path, line, withoutText(value));
  return Object.fromEntries(fields);
}

/** What a record without a text has instead, and what to do. */
function withoutText(value: Values): string {
  const keys = Object.keys(value).map((key) => JSON.stringify(key));
  const found = `has no text, only ${keys.slice(0, 5).join(", ") || "nothing"}${keys.length > 5 ? ", …" : ""}`;
  const list = Object.entries(value).find(
    ([, entry]) => Array.isArray(entry) && entry.every((item) => typeof item === "object"),
  );
  if (list !== undefined)
    return `${found}. Give a file that holds the list ${JSON.stringify(list[0])} alone, or one object a line`;
  return `${found}. Name texts within it by the option "fields"`;
}

function labelAt(
  path: string,
  line: number,
  value: Values,
  key: string,
  choices: unknown,
): string | number | undefined {
  const label = valueAt(value, key);
  if (isNoLabel(label)) return undefined;
  if (Array.isArray(choices)) return choiceIndex(path, line, label, choices);
  if (typeof label === "string" || typeof label === "boolean" || typeof label === "number") return String(label);
  throw corruptAt(path, line, `expected "${key}" to be a text or a number but found ${JSON.stringify(label)}`);
}

/** Listwise data name the right choice by its index or by its text. */
function choiceIndex(path: string, line: number, label: unknown, choices: readonly unknown[]): number {
  const index = typeof label === "number" ? label : choices.indexOf(label);
  if (Number.isInteger(index) && index >= 0 && index < choices.length) return index;
  throw corruptAt(
    path,
    line,
    `has the answer ${JSON.stringify(label)}, which is neither the index nor the text of one of its ${choices.length} choices`,
  );
}
