// A result as comma-separated values (RFC 4180), written in slices.
import { onlyKnown, pathOf } from "../../options";
import { everyRow } from "../../pacing";
import { fillBeside } from "../../storage/files";
import type { CallOptions } from "../../../types/common";
import { type Cell, type Column, tableOf } from "./table";

/** Rows that are made into text, and written, at a time. */
const rowsAtOnce = 2048;

/**
 * Writes a result as a CSV file with a header. An attribution has a row per score: `query`, `query_id`, `train`, `train_id`, `score`
 * (of neurons `instance`, `instance_id`, `site`, `layer`, `unit`, `score`); a curve a row per point; a list such as `top`'s a row per
 * entry. Numbers have all their digits; those that are none are NaN, inf and -inf. The file is whole or absent. Cost: about 1 µs per
 * cell.
 * @example await toCsv(influences, "influences.csv"); // pandas.read_csv("influences.csv")
 */
export async function toCsv(result: unknown, path: string, options: CallOptions = {}): Promise<void> {
  onlyKnown(options, ["signal", "onProgress"]);
  pathOf("path", "a file's path", path);
  const { rows, columns } = tableOf(result);
  await fillBeside(path, async (file) => {
    await file.write(`${columns.map(({ name }) => quoted(name)).join(",")}\n`);
    const blocks = Math.ceil(rows / rowsAtOnce);
    const lines: string[] = [];
    for (let block = 0; block < blocks; block++) {
      const first = block * rowsAtOnce;
      const count = Math.min(rowsAtOnce, rows - first);
      await everyRow(count, "CSV", { signal: options.signal }, (row) => {
        lines.push(lineOf(columns, first + row));
      });
      await file.write(`${lines.join("\n")}\n`);
      lines.length = 0;
      options.onProgress?.({ done: first + count, total: rows, stage: "CSV" });
    }
  });
}

function lineOf(columns: readonly Column[], row: number): string {
  return columns.map(({ type, at }) => cellText(at(row), type)).join(",");
}

function cellText(cell: Cell, type: Column["type"]): string {
  if (typeof cell === "string") return quoted(cell);
  if (typeof cell === "boolean") return String(cell);
  if (Number.isFinite(cell)) return type === "float32" ? String(Number(cell.toPrecision(9))) : String(cell);
  return Number.isNaN(cell) ? "NaN" : cell > 0 ? "inf" : "-inf";
}

/** In quotes where the text needs them. */
function quoted(text: string): string {
  return /[",\n\r]/.test(text) || text === "" ? `"${text.replaceAll('"', '""')}"` : text;
}
