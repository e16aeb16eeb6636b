// Tables for a terminal, from the same data as a report's: texts left, numbers right with their points below each other.
import { cellText, columnDigits } from "../report/format";
import type { ReportTable } from "../../types/report";

/**
 * A table as lines of text: caption, header, rows, notes. Columns of numbers align by their point. Where it is wider than `width`
 * columns, its texts are cut; where that is not enough, each row becomes lines of "label: value".
 * @example console.log(textTable({ caption: "Recall", columns: [{ label: "method" }, { label: "recall@10" }], rows: [["influence", 0.41]] }));
 */
export function textTable(table: Omit<ReportTable, "kind">, width = Infinity): string {
  const { caption, columns, rows, notes = [] } = table;
  const digits = columnDigits(columns, rows);
  const header = columns.map(({ label, unit }) => (unit === undefined ? label : `${label} (${unit})`));
  const body = rows.map((row) => columns.map((_, at) => oneLine(cellText(row[at] ?? null, digits[at]))));
  const natural = header.map((text, at) =>
    Math.max(displayWidth(text), ...body.map((row) => displayWidth(row[at] ?? ""))),
  );
  const widths = fitted(natural, digits, width);
  const below = [...notes].flatMap((note) => wrapped(note, width));
  if (widths === undefined)
    return [...wrapped(caption, width), ...body.flatMap((row) => listed(header, row, width)), ...below].join("\n");
  const line = (cells: readonly string[]) =>
    cells
      .map((text, at) => {
        const cell = cut(text, widths[at]);
        const gap = " ".repeat(widths[at] - displayWidth(cell));
        return digits[at] === undefined ? cell + gap : gap + cell;
      })
      .join("  ")
      .trimEnd();
  const rule = widths.map((columnWidth) => "─".repeat(columnWidth)).join("  ");
  return [...wrapped(caption, width), rule, line(header), rule, ...body.map(line), ...below].join("\n");
}

const narrowestText = 12;

/** Widths of the columns that fit: the widest columns of texts give way first. Undefined where they do not fit at all. */
function fitted(
  natural: readonly number[],
  digits: readonly (number | undefined)[],
  width: number,
): number[] | undefined {
  const widths = [...natural];
  const total = (): number => widths.reduce((sum, each) => sum + each, 0) + 2 * (widths.length - 1);
  while (total() > width) {
    const texts = widths.map((each, at) => (digits[at] === undefined && each > narrowestText ? each : 0));
    const widest = texts.indexOf(Math.max(...texts));
    if (widest < 0 || texts[widest] === 0) return undefined;
    widths[widest]--;
  }
  return widths;
}

/** A row as lines of their own. */
function listed(header: readonly string[], row: readonly string[], width: number): string[] {
  return ["", ...header.flatMap((label, at) => wrapped(`${label}: ${row[at]}`, width, at === 0 ? "" : "  "))];
}

/** Lines of at most so many columns; a longer word stands on a line of its own. */
export function wrapped(text: string, width: number, indent = ""): string[] {
  const lines = [indent];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1];
    if (last !== indent && displayWidth(last) + 1 + displayWidth(word) > width) lines.push(indent + word);
    else lines[lines.length - 1] = last === indent ? last + word : `${last} ${word}`;
  }
  return lines;
}

/** A text cut to so many columns, with "…" where something is missing. */
export function cut(text: string, most: number): string {
  if (displayWidth(text) <= most) return text;
  let kept = "";
  for (const character of text) {
    if (displayWidth(kept + character) > most - 1) break;
    kept += character;
  }
  return `${kept}…`;
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
