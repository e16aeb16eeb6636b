// Whether a value is a Report: a check for each type of types/report.ts. What is not as it says is named by its path.
import { expected } from "../errors";
import type { Report } from "../../types/report";

type Check = (value: unknown, path: string) => void;

/** "invalid", naming the first part that is not as it must be. */
export function checkReport(report: unknown): asserts report is Report {
  checked(report, "report");
}

const is =
  (what: string, passes: (value: unknown) => boolean): Check =>
  (value, path) => {
    if (!passes(value)) throw expected(path, what, value);
  };
const text = is("a text", (value) => typeof value === "string");
const number = is("a number", (value) => typeof value === "number");
const flag = is("true or false", (value) => typeof value === "boolean");
const oneOf = (...words: readonly string[]): Check =>
  is(`one of ${words.map((word) => `"${word}"`).join(", ")}`, (value) => words.includes(value as string));
const optional =
  (check: Check): Check =>
  (value, path) => {
    if (value !== undefined) check(value, path);
  };
const orNull =
  (check: Check): Check =>
  (value, path) => {
    if (value !== null) check(value, path);
  };

const object =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw expected(path, `an object with ${Object.keys(fields).join(", ")}`, value);
    for (const [name, check] of Object.entries(fields))
      check((value as Readonly<Record<string, unknown>>)[name], `${path}.${name}`);
  };

const list =
  (entry: Check): Check =>
  (value, path) => {
    if (!Array.isArray(value)) throw expected(path, "a list", value);
    value.forEach((item, at) => entry(item, `${path}[${at}]`));
  };

/** The lists in `longer` have as many entries as the list in `shorter`. */
const matching =
  (check: Check, shorter: string, rows: (value: never) => readonly (readonly unknown[])[], words: string): Check =>
  (value, path) => {
    check(value, path);
    const length = (value as Readonly<Record<string, readonly unknown[]>>)[shorter].length;
    const wrong = rows(value as never).find((row) => row.length !== length);
    if (wrong !== undefined) throw expected(path, words.replace("{}", String(length)), wrong);
  };

const numbered = (value: unknown, path: string): void => {
  if (typeof value === "object" && value !== null) object({ mean: number, low: number, high: number })(value, path);
  else number(value, path);
};
const cell = orNull((value, path) => {
  if (typeof value !== "string") numbered(value, path);
});

const label = object({ label: text });
const format = optional(oneOf("number", "percent"));
const axis = object({ label: text, scale: optional(oneOf("linear", "log")), format });
const role = optional(oneOf("method", "control"));
const titles = { title: text, caption: optional(text) };
const points = list(object({ x: number, y: number, low: optional(number), high: optional(number) }));

const entries = list(
  object({
    id: text,
    text,
    words: optional(list(object({ text, score: number }))),
    score: number,
    share: optional(number),
    label: optional(text),
    isTrue: optional(flag),
  }),
);
const instances = list(object({ method: text, unit: optional(text), entries, bottom: optional(entries) }));
const neurons = list(
  object({
    method: text,
    unit: optional(text),
    entries: list(
      object({ layer: number, unit: number, score: number, isHead: optional(flag), tokens: optional(list(text)) }),
    ),
  }),
);
const card = object({
  id: text,
  text,
  prediction: object({ label: text, probability: optional(number) }),
  label: optional(text),
  group: optional(text),
  isConflict: optional(flag),
  instances,
  neurons,
});

const blocks: Readonly<Record<string, Check>> = {
  text: object({ text }),
  table: matching(
    object({
      caption: text,
      columns: list(object({ label: text, unit: optional(text), digits: optional(number) })),
      rows: list(list(cell)),
      notes: optional(list(text)),
    }),
    "columns",
    ({ rows }: { rows: readonly unknown[][] }) => rows,
    "rows of {} cells, one per column",
  ),
  lines: object({ ...titles, x: axis, y: axis, series: list(object({ label: text, role, points })) }),
  bars: matching(
    object({
      ...titles,
      x: label,
      y: object({ label: text, format }),
      categories: list(text),
      series: list(object({ label: text, role, values: list(numbered) })),
    }),
    "categories",
    ({ series }: { series: readonly { values: unknown[] }[] }) => series.map(({ values }) => values),
    "series of {} values, one per category",
  ),
  heatMap: matching(
    matching(
      object({
        ...titles,
        x: label,
        y: label,
        columns: list(text),
        rows: list(text),
        values: list(list(orNull(number))),
        valueLabel: text,
        format,
      }),
      "columns",
      ({ values }: { values: readonly unknown[][] }) => values,
      "rows of {} values, one per column",
    ),
    "rows",
    ({ values }: { values: readonly unknown[] }) => [values],
    "{} rows of values, one per row",
  ),
  instances: object({ cards: list(card), truthLabel: optional(text), browse: optional(flag) }),
};

const block: Check = (value, path) => {
  object({ kind: oneOf(...Object.keys(blocks)) })(value, path);
  blocks[(value as { readonly kind: string }).kind](value, path);
};

const checked: Check = object({
  title: text,
  summary: text,
  facts: list(object({ name: text, value: text })),
  sections: list(object({ title: text, explanation: text, blocks: list(block) })),
});
