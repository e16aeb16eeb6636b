// Tables of a report: numbers aligned by their point, means with their intervals, notes below.
import { cellText, columnDigits, formatNumber, intervalText, isEstimate } from "./format";
import { html, type Markup } from "./html";
import type { Cell, ReportTable } from "../../types/report";

export function renderTable({ caption, columns, rows, notes = [] }: Omit<ReportTable, "kind">): Markup {
  const digits = columnDigits(columns, rows);
  const align = digits.map((count) => (count === undefined ? "text" : "number"));
  return html`<div class="table" tabindex="0" role="region" aria-label="${caption}">
    <table>
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${columns.map(({ label, unit }, at) => html`<th scope="col" class="${align[at]}">${label}${unit === undefined ? null : html` <span class="unit">${unit}</span>`}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${columns.map((_, at) => renderCell(row[at] ?? null, at, align[at], digits[at]))}
            </tr> `,
        )}
      </tbody>
    </table>
    ${notes.map((note) => html`<p class="note">${note}</p>`)}
  </div>`;
}

/** The first column names its row. */
function renderCell(cell: Cell, at: number, align: string | undefined, digits: number | undefined): Markup {
  const content = isEstimate(cell)
    ? html`${formatNumber(cell.mean, digits)} <span class="interval">${intervalText(cell, digits)}</span>`
    : html`${cellText(cell, digits)}`;
  return at === 0 && align === "text"
    ? html`<th scope="row" class="text">${content}</th>`
    : html`<td class="${align}">${content}</td>`;
}
