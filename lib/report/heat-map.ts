// A grid of values as colours: layers by methods, methods by methods. Strength is opacity, sign is hue, so that it reads in
// light and dark; values are written into cells that are large enough.
import { at, renderFigure, width } from "./frame";
import { digitsFor, formatValue } from "./format";
import { html, type Markup } from "./html";
import type { HeatMap } from "../../types/report";

const rightEdge = width - 14;
const topEdge = 8;

/** Room for the row labels, so that none is cut: 7 per character at 13 px, up to half the drawing. */
function labelRoomOf({ rows }: HeatMap): number {
  return Math.min(width / 2, 34 + 7.1 * Math.max(1, ...rows.map((row) => row.length)));
}

export function renderHeatMap(map: HeatMap): Markup {
  const labelRoom = labelRoomOf(map);
  const cell = {
    wide: (rightEdge - labelRoom) / Math.max(1, map.columns.length),
    tall: Math.max(16, Math.min(30, 360 / Math.max(1, map.rows.length))),
  };
  const strongest = Math.max(
    1e-300,
    ...map.values
      .flat()
      .filter((value) => value !== null && Number.isFinite(value))
      .map((value) => Math.abs(value as number)),
  );
  const bottom = topEdge + cell.tall * map.rows.length;
  return renderFigure({
    title: map.title,
    caption: map.caption,
    legend: legend(map, strongest),
    drawingHeight: bottom + 46,
    drawing: html`${cells(map, cell, strongest, labelRoom)}<g class="axis">
        ${map.rows.map((row, index) => html`<text x="${labelRoom - 8}" y="${at(topEdge + (index + 0.5) * cell.tall + 4)}" text-anchor="end">${shortened(row, Math.floor((labelRoom - 34) / 7.1) + 1)}</text>`)}
        ${columnLabels(map.columns, cell.wide, bottom + 16, labelRoom)}
        <text class="label" transform="translate(14 ${at((topEdge + bottom) / 2)}) rotate(-90)" text-anchor="middle"
          >${map.y.label}</text
        >
        <text class="label" x="${at((labelRoom + rightEdge) / 2)}" y="${at(bottom + 38)}" text-anchor="middle"
          >${map.x.label}</text
        ></g
      >`,
    numbers: {
      caption: map.title,
      columns: [{ label: map.y.label }, ...map.columns.map((label) => ({ label }))],
      rows: map.rows.map((row, index) => [row, ...(map.values[index] ?? [])]),
    },
  });
}

function cells(map: HeatMap, cell: { wide: number; tall: number }, strongest: number, labelRoom: number): Markup {
  const isWritten = cell.wide >= 40;
  const digits = map.format === "percent" || strongest < 1e-3 ? undefined : digitsFor(strongest);
  return html`<g class="heat"
    >${map.values.map((row, line) =>
      row.map((value, column) => {
        if (value === null || !Number.isFinite(value)) return null;
        const [x, y] = [labelRoom + column * cell.wide, topEdge + line * cell.tall];
        const strength = Math.abs(value) / strongest;
        const text = formatValue(value, map.format, digits);
        return html`<g
          ><title>${map.rows[line]}, ${map.columns[column]}: ${text}</title
          ><rect
            class="${value < 0 ? "negative" : "positive"}"
            x="${at(x)}"
            y="${at(y)}"
            width="${at(cell.wide - 1)}"
            height="${at(cell.tall - 1)}"
            fill-opacity="${at(0.04 + 0.9 * strength)}"
          />${
            isWritten
              ? html`<text
                  class="${inkOf(strength, value)}"
                  x="${at(x + cell.wide / 2)}"
                  y="${at(y + cell.tall / 2 + 4)}"
                  text-anchor="middle"
                  >${text}</text
                >`
              : null
          }</g
        >`;
      }),
    )}</g
  >`;
}

/** Which ink reads on a cell: the page's own on a weak one, dark on a middle one, the ground's on a strong one. */
function inkOf(strength: number, value: number): string {
  if (strength < 0.5) return "weak";
  return strength > 0.8 && value > 0 ? "strong" : "middle";
}

function columnLabels(columns: readonly string[], wide: number, y: number, labelRoom: number): Markup[] {
  const longest = Math.max(1, ...columns.map((column) => column.length));
  const every = Math.max(1, Math.ceil(Math.min(60, 7.5 * longest + 4) / wide));
  return columns.flatMap((label, index) =>
    index % every === 0
      ? [
          html`<text x="${at(labelRoom + (index + 0.5) * wide)}" y="${at(y)}" text-anchor="middle"
            >${shortened(label, Math.max(3, Math.floor((wide * every) / 6.6) - 1))}</text
          >`,
        ]
      : [],
  );
}

function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function legend(map: HeatMap, strongest: number): { label: string; sample: Markup }[] {
  const isSigned = map.values.flat().some((value) => value !== null && value < 0);
  const swatch = (name: string) =>
    html`<g class="heat"><rect class="${name}" x="1" width="24" height="12" rx="2" fill-opacity="0.94" /></g>`;
  const entry = (name: string, value: number) => ({
    label: `${map.valueLabel} ${formatValue(value, map.format)}`,
    sample: swatch(name),
  });
  return isSigned ? [entry("negative", -strongest), entry("positive", strongest)] : [entry("positive", strongest)];
}
