// Numbers as a reader wants them: a true minus sign, thousands apart, no digits that say nothing.
import type { Cell, PlotAxis, TableColumn } from "../../types/report";
import type { Estimate } from "../../types/results";

const superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** Below this a number is rounding error of one that should be 0. */
const negligible = 1e-12;

/** A number with the given digits after the point, always written that way; or with three significant ones; "–" for NaN. */
export function formatNumber(value: number, digits?: number): string {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value < 0 ? "−∞" : "∞";
  const size = Math.abs(value);
  const isTiny = digits === undefined && size > negligible && size < 1e-3;
  if (isTiny || size >= 1e15) return scientific(value);
  const shownDigits = digits ?? (Number.isInteger(value) ? 0 : digitsFor(size));
  return size
    .toFixed(shownDigits)
    .replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, " ")
    .replace(/^/, isNegative(value, shownDigits) ? "−" : "");
}

/** Negative after rounding: −0.001 with two digits is 0.00. */
function isNegative(value: number, digits: number): boolean {
  return value < 0 && Number(value.toFixed(digits)) !== 0;
}

/** Digits after the point that leave three significant ones, at most 8. */
export function digitsFor(size: number): number {
  if (!(size > 0) || !Number.isFinite(size)) return 0;
  return Math.max(0, Math.min(8, 2 - Math.floor(Math.log10(size))));
}

function scientific(value: number): string {
  const [mantissa, exponent] = Math.abs(value).toExponential(1).split("e") as [string, string];
  const power = [...exponent.replace("+", "")]
    .map((digit) => (digit === "-" ? "⁻" : superscripts[Number(digit)]))
    .join("");
  return `${value < 0 ? "−" : ""}${mantissa} × 10${power}`;
}

/** A value on an axis or in a legend. */
export function formatValue(value: number, format: PlotAxis["format"] = "number", digits?: number): string {
  if (format === "number") return formatNumber(value, digits);
  const percent = value * 100;
  return `${formatNumber(percent, digits ?? (Math.abs(percent - Math.round(percent)) < 1e-9 ? 0 : Math.abs(percent) < 10 ? 1 : 0))} %`;
}

export function isEstimate(cell: Cell): cell is Estimate {
  return typeof cell === "object" && cell !== null;
}

/** Digits after the point for each column, so that its numbers line up; undefined for columns of texts. */
export function columnDigits(
  columns: readonly TableColumn[],
  rows: readonly (readonly Cell[])[],
): (number | undefined)[] {
  return columns.map((column, at) => {
    const cells = rows.map((row) => row[at] ?? null).filter((cell) => cell !== null);
    const numbers = cells.flatMap((cell) =>
      typeof cell === "number" ? [cell] : isEstimate(cell) ? [cell.mean, cell.low, cell.high] : [],
    );
    if (numbers.length === 0 || cells.some((cell) => typeof cell === "string")) return undefined;
    if (column.digits !== undefined) return column.digits;
    const finite = numbers.filter((value) => Number.isFinite(value));
    return finite.every((value) => Number.isInteger(value)) ? 0 : digitsFor(Math.max(0, ...finite.map(Math.abs)));
  });
}

/** A cell as text: "0.412 [0.380, 0.441]" for a mean with its interval, "–" for nothing. */
export function cellText(cell: Cell, digits?: number): string {
  if (cell === null) return "–";
  if (typeof cell === "string") return cell;
  if (typeof cell === "number") return formatNumber(cell, digits);
  return `${formatNumber(cell.mean, digits)} ${intervalText(cell, digits)}`;
}

export function intervalText({ low, high }: Estimate, digits?: number): string {
  return `[${formatNumber(low, digits)}, ${formatNumber(high, digits)}]`;
}
