// What all plots share: the figure with title, legend, numbers to read, and the axes with ticks, grid and labels.
// A plot is drawn in a box of 520 × 300; colours are classes, so that the page's light and dark style decides them.
import { formatValue } from "./format";
import { html, type Markup } from "./html";
import type { Scale } from "./scale";
import { renderTable } from "./table";
import type { PlotAxis, ReportTable } from "../../types/report";

export const width = 520;
export const height = 300;
/** The inner box, between the axes. */
export const box = { left: 66, right: width - 14, top: 12, bottom: height - 48 } as const;

/** Classes of the series colours and marks, told apart by colour, mark and dash. */
const colours = 6;

export function seriesClass(index: number, role: "method" | "control" = "method"): string {
  return role === "control" ? "series control" : `series s${index % colours}${index >= colours ? " again" : ""}`;
}

export interface LegendEntry {
  readonly label: string;
  readonly sample: Markup;
}

export interface Figure {
  readonly title: string;
  readonly caption?: string | undefined;
  readonly legend: readonly LegendEntry[];
  readonly drawing: Markup;
  /** Height of the drawing. @default 300 */
  readonly drawingHeight?: number;
  /** The same numbers as a table, for those who cannot or do not want to read the drawing. */
  readonly numbers: Omit<ReportTable, "kind">;
}

export function renderFigure({ title, caption, legend, drawing, drawingHeight = height, numbers }: Figure): Markup {
  return html`<figure>
    <figcaption><strong>${title}</strong>${caption === undefined ? null : html`<span>${caption}</span>`}</figcaption>
    ${
      legend.length === 0
        ? null
        : html`<ul class="legend">
            ${legend.map(({ label, sample }) => html`<li><svg viewBox="0 0 26 12" width="26" height="12" aria-hidden="true">${sample}</svg>${label}</li>`)}
          </ul>`
    }
    <div class="plot" tabindex="0" role="region" aria-label="Drawing: ${title}">
      <svg viewBox="0 0 ${width} ${drawingHeight}" role="img" aria-label="${title}">${drawing}</svg>
    </div>
    <details>
      <summary>Numbers</summary>
      ${renderTable(numbers)}
    </details>
  </figure>`;
}

/** Grid, ticks and label of the y axis. */
export function yAxis(scale: Scale, axis: Omit<PlotAxis, "scale">): Markup {
  const middle = (box.top + box.bottom) / 2;
  const digits = tickDigits(scale.ticks, axis.format);
  return html`<g class="axis"
    >${scale.ticks.map(
      (tick) =>
        html`<line
            class="${tick === 0 ? "zero" : "grid"}"
            x1="${box.left}"
            x2="${box.right}"
            y1="${at(scale(tick))}"
            y2="${at(scale(tick))}"
          />
          <text x="${box.left - 8}" y="${at(scale(tick) + 4)}" text-anchor="end"
            >${formatValue(tick, axis.format, digits)}</text
          >`,
    )} <text class="label" transform="translate(14 ${middle}) rotate(-90)" text-anchor="middle">${axis.label}</text></g
  >`;
}

/** Ticks and label of the x axis. */
export function xAxis(scale: Scale, axis: PlotAxis): Markup {
  const digits = axis.scale === "log" ? undefined : tickDigits(scale.ticks, axis.format);
  const ticks = scale.ticks.map((tick) => ({ place: scale(tick), lines: [formatValue(tick, axis.format, digits)] }));
  return xLabels(ticks, axis.label);
}

/** Room for a further line of a tick's text. */
export const lineHeight = 14;

export interface Tick {
  readonly place: number;
  readonly lines: readonly string[];
}

export function xLabels(ticks: readonly Tick[], label: string): Markup {
  const lines = Math.max(1, ...ticks.map((tick) => tick.lines.length));
  return html`<g class="axis"
    ><line class="edge" x1="${box.left}" x2="${box.right}" y1="${box.bottom}" y2="${box.bottom}" />
    ${ticks.map(
      (tick) =>
        html`<line
            class="edge"
            x1="${at(tick.place)}"
            x2="${at(tick.place)}"
            y1="${box.bottom}"
            y2="${box.bottom + 5}"
          />${tick.lines.map(
            (text, line) =>
              html`<text x="${at(tick.place)}" y="${box.bottom + 18 + line * lineHeight}" text-anchor="middle"
                >${text}</text
              >`,
          )}`,
    )}
    <text
      class="label"
      x="${(box.left + box.right) / 2}"
      y="${height - 8 + (lines - 1) * lineHeight}"
      text-anchor="middle"
      >${label}</text
    ></g
  >`;
}

/** Digits that tell neighbouring ticks apart. */
function tickDigits(ticks: readonly number[], format: PlotAxis["format"]): number | undefined {
  const factor = format === "percent" ? 100 : 1;
  const step = ((ticks[1] ?? 1) - (ticks[0] ?? 0)) * factor;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return digits <= 4 ? digits : undefined;
}

/** A coordinate, short. */
export function at(value: number): string {
  return String(Math.round(value * 100) / 100);
}
