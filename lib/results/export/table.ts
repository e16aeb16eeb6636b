// A result as one long table: a row per score, or per point of a curve. What CSV and Parquet files hold.
import { AttributionError, shown } from "../../errors";
import { requireInstanceAttribution, requireInstanceScores, requireNeuronAttribution } from "../require";
import type { Breakdown, InstanceAttribution, NeuronAttribution, ScoreParts } from "../../../types/results";
import type { SelfInfluence, TopInstances } from "../../../types/store";

export type Cell = number | string | boolean;

export interface Column {
  readonly name: string;
  readonly type: "int32" | "float32" | "float64" | "string" | "boolean";
  readonly at: (row: number) => Cell;
}

export interface Table {
  readonly rows: number;
  readonly columns: readonly Column[];
}

/** "unsupported" for what is no table. */
export function tableOf(result: unknown): Table {
  const { kind, points, runs } = (typeof result === "object" && result !== null ? result : {}) as Record<
    string,
    unknown
  >;
  switch (kind) {
    case "instances":
      requireInstanceAttribution(result, "result");
      return instancesTable(result);
    case "topInstances":
      requireInstanceScores(result, "result");
      return topTable(result as TopInstances);
    case "neurons":
      requireNeuronAttribution(result, "result");
      return neuronsTable(result);
    case "selfInfluence":
      return selfInfluenceTable(result as SelfInfluence);
    case "breakdown":
      return breakdownTable(result as Breakdown);
  }
  for (const list of [result, runs, points])
    if (Array.isArray(list) && list.length > 0 && list.every(isRecord)) return recordsTable(list);
  throw new AttributionError(
    "unsupported",
    `Expected an attribution, a breakdown, a curve with points, or a list such as top's, but received ${shown(result)}. toJson takes any result`,
  );
}

const int32 = (name: string, at: (row: number) => number): Column => ({ name, type: "int32", at });
const text = (name: string, at: (row: number) => string): Column => ({ name, type: "string", at });
const float32 = (name: string, values: Float32Array): Column => ({ name, type: "float32", at: (row) => values[row] });

function instancesTable({ scores, train, queryIds, trainIds }: InstanceAttribution): Table {
  const query = (row: number): number => Math.floor(row / train);
  return {
    rows: scores.length,
    columns: [
      int32("query", query),
      text("query_id", (row) => queryIds[query(row)]),
      int32("train", (row) => row % train),
      text("train_id", (row) => trainIds[row % train]),
      float32("score", scores),
    ],
  };
}

function topTable({ scores, indices, k, queryIds, trainIds }: TopInstances): Table {
  const query = (row: number): number => Math.floor(row / k);
  return {
    rows: scores.length,
    columns: [
      int32("query", query),
      text("query_id", (row) => queryIds[query(row)]),
      int32("rank", (row) => (row % k) + 1),
      int32("train", (row) => indices[row]),
      text("train_id", (row) => trainIds[indices[row]]),
      float32("score", scores),
    ],
  };
}

function neuronsTable({ scores, layers, units, instanceIds, site }: NeuronAttribution): Table {
  const instance = (row: number): number => Math.floor(row / (layers * units));
  return {
    rows: scores.length,
    columns: [
      int32("instance", instance),
      text("instance_id", (row) => instanceIds[instance(row)]),
      text("site", () => site),
      int32("layer", (row) => Math.floor(row / units) % layers),
      int32("unit", (row) => row % units),
      float32("score", scores),
    ],
  };
}

function selfInfluenceTable({ scores, trainIds }: SelfInfluence): Table {
  return {
    rows: scores.length,
    columns: [int32("train", (row) => row), text("train_id", (row) => trainIds[row]), float32("score", scores)],
  };
}

function breakdownTable({ pairs, by, modules }: Breakdown): Table {
  const parts = pairs.flatMap((pair) => Array.from(pair.parts, (value, part) => ({ pair, part, value })));
  const of =
    <T>(read: (pair: ScoreParts) => T) =>
    (row: number): T =>
      read(parts[row].pair);
  return {
    rows: parts.length,
    columns: [
      int32(
        "query",
        of((pair) => pair.query),
      ),
      text(
        "query_id",
        of((pair) => pair.queryId),
      ),
      int32(
        "train",
        of((pair) => pair.train),
      ),
      text(
        "train_id",
        of((pair) => pair.trainId),
      ),
      int32("part", (row) => parts[row].part),
      by === "module"
        ? text("module", (row) => modules[parts[row].part])
        : int32("token", (row) => parts[row].pair.tokens[parts[row].part]),
      { name: "score", type: "float64", at: (row) => parts[row].value },
    ],
  };
}

type Fields = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/** One row per record; the fields of an inner record become columns, "value" and "mean" making "value_mean". */
function recordsTable(records: readonly Fields[]): Table {
  const rows = records.map((record) => new Map(leaves(record, "")));
  const names = [...new Set(rows.flatMap((row) => [...row.keys()]))];
  return {
    rows: rows.length,
    columns: names.map((name) => {
      const cells = rows.map((row) => row.get(name));
      return { name, type: typeOf(name, cells), at: (row) => cells[row] as Cell };
    }),
  };
}

function leaves(record: Fields, prefix: string): [string, Cell][] {
  return Object.entries(record).flatMap(([name, value]): [string, Cell][] => {
    const path = `${prefix}${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
    if (isRecord(value)) return leaves(value, `${path}_`);
    const isCell = ["number", "string", "boolean"].includes(typeof value);
    return isCell ? [[path, value as Cell]] : [];
  });
}

function typeOf(name: string, cells: readonly (Cell | undefined)[]): Column["type"] {
  const types = new Set(cells.map((cell) => typeof cell));
  if (types.size !== 1)
    throw new AttributionError(
      "unsupported",
      `The field "${name}" is not of one type in all entries: no column can hold it`,
    );
  if (types.has("string")) return "string";
  if (types.has("boolean")) return "boolean";
  return cells.every((cell) => Number.isInteger(cell) && Math.abs(cell as number) < 2 ** 31) ? "int32" : "float64";
}
