// A measured case as the object that --json prints, as text, and as Markdown.
import { textTable } from "../lib/cli/table";
import { formatNumber } from "../lib/report/format";
import type { Bar, Measurement, Row } from "./benchmark";
import type { Hardware } from "./machine";

export interface Result extends Measurement {
  readonly case: string;
  readonly quick: boolean;
  readonly hardware: Hardware;
}

const columns = ["", "what", "median", "min–max", "runs", "× ours", "note"];

function cells({ group, name, unit, median, min, max, repeats, timesOurs, note }: Row): string[] {
  const range = repeats > 1 ? `${formatNumber(min)}–${formatNumber(max)}` : "";
  return [
    group,
    name,
    `${formatNumber(median)} ${unit}`,
    range,
    String(repeats),
    timesOurs === null ? "" : formatNumber(timesOurs),
    note,
  ];
}

function barLine({ name, value, wanted, holds }: Bar): string {
  return `${holds ? "holds" : "MISSED"}: ${name}: ${formatNumber(value)} (bar ${wanted})`;
}

function facts({ hardware: h, versions, quick }: Result): string[] {
  const busy = h.loadBefore > 0.5 ? " (the machine was busy: timings are provisional)" : "";
  return [
    `${h.processor}, ${h.cores} cores, ${h.threads} threads, ${h.memoryGB} GB; load before ${h.loadBefore}${busy}`,
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
    ...(quick ? ["--quick: fewer repeats, slow contenders extrapolated"] : []),
  ];
}

const headline = ({ ratio, unit }: Result): string => `${formatNumber(ratio)} × ${unit}`;

const tableOf = ({ table, rows }: Result): NonNullable<Measurement["table"]> =>
  table ?? { columns, rows: rows.map(cells) };

export function asText(result: Result): string {
  const shown = tableOf(result);
  const table = textTable({
    caption: result.case,
    columns: shown.columns.map((label) => ({ label })),
    rows: shown.rows,
  });
  return [table, "", headline(result), ...result.bars.map(barLine), ...result.notes, ...facts(result)].join("\n");
}

export function asMarkdown(result: Result, date: string): string {
  const row = (texts: readonly string[]): string => `| ${texts.join(" | ")} |`;
  const shown = tableOf(result);
  const list = (texts: readonly string[]): string[] => texts.map((text) => `- ${text}`);
  return [
    `**${headline(result)}** (${date})`,
    "",
    row(shown.columns),
    row(shown.columns.map(() => "---")),
    ...shown.rows.map(row),
    "",
    ...list([...result.bars.map(barLine), ...result.notes, ...facts(result)]),
  ].join("\n");
}
