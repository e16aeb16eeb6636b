// Tables for a terminal, from the same data as a report's: texts left, numbers right with their points below each other.
import { cellText, columnDigits } from "../report/format";
import type { ReportTable } from "../../types/report";

/**
 * A table as lines of text: caption, header, rows, notes. Columns of numbers align by their point.
 * @example console.log(textTable({ caption: "Recall", columns: [{ label: "method" }, { label: "recall@10" }], rows: [["influence", 0.41]] }));
 */
export function textTable({ caption, columns, rows, notes = [] }: Omit<ReportTable, "kind">): string {
  const digits = columnDigits(columns, rows);
  const header = columns.map(({ label, unit }) => (unit === undefined ? label : `${label} (${unit})`));
  const body = rows.map((row) => columns.map((_, at) => oneLine(cellText(row[at] ?? null, digits[at]))));
  const widths = header.map((text, at) =>
    Math.max(displayWidth(text), ...body.map((row) => displayWidth(row[at] ?? ""))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((text, at) => {
        const gap = " ".repeat((widths[at] ?? 0) - displayWidth(text));
        return digits[at] === undefined ? text + gap : gap + text;
      })
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "─".repeat(width)).join("  ");
  return [caption, rule, line(header), rule, ...body.map(line), ...notes].join("\n");
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").replace(/\p{Control}/gu, "");
}

const wide =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60]/u;

/** Columns a text takes in a terminal: two for East Asian characters and emoji, none for combining marks. */
export function displayWidth(text: string): number {
  let columns = 0;
  for (const character of text) columns += /\p{Mark}|\u200d/u.test(character) ? 0 : wide.test(character) ? 2 : 1;
  return columns;
}
