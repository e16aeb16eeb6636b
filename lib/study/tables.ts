// The tables of a report as CSV, so that pandas, polars and spreadsheets read them.
import type { Cell, Report, ReportTable } from "../../types/report";
import { isEstimate } from "../report/format";

export interface TableFile {
  readonly file: string;
  readonly table: ReportTable;
}

/** Every table of a report with a file name from its section and caption. */
export function tablesOf({ sections }: Report): TableFile[] {
  const taken = new Map<string, number>();
  return sections.flatMap(({ title, blocks }) =>
    blocks
      .filter((block) => block.kind === "table")
      .map((table) => {
        const name = slug(`${title} ${table.caption}`);
        const count = (taken.get(name) ?? 0) + 1;
        taken.set(name, count);
        return { file: `${name}${count === 1 ? "" : `-${count}`}.csv`, table };
      }),
  );
}

function slug(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^\p{Letter}\p{Number}]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 100);
}

/** RFC 4180. A mean with an interval becomes three columns; a value that is not there is empty. */
export function csvOf({ columns, rows }: Pick<ReportTable, "columns" | "rows">): string {
  const hasInterval = columns.map((_, at) => rows.some((row) => isEstimate(row[at] ?? null)));
  const header = columns.flatMap(({ label, unit }, at) => {
    const name = unit === undefined ? label : `${label} (${unit})`;
    return hasInterval[at] ? [name, `${name}, low`, `${name}, high`] : [name];
  });
  const cells = (row: readonly Cell[]): string[] =>
    columns.flatMap((_, at) => {
      const cell = row[at] ?? null;
      if (isEstimate(cell)) return [cell.mean, cell.low, cell.high].map(numberText);
      const text = typeof cell === "number" ? numberText(cell) : (cell ?? "");
      return hasInterval[at] ? [text, "", ""] : [text];
    });
  return [header, ...rows.map(cells)].map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
}

function numberText(value: number): string {
  return Number.isNaN(value) ? "" : String(value);
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
