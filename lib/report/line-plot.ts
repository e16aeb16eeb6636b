// Curves with interval bands, e.g. a faithfulness test over the number of units r: the method against its random control.
import { at, box, renderFigure, seriesClass, xAxis, yAxis } from "./frame";
import { formatValue } from "./format";
import { html, type Markup } from "./html";
import { scaleOf, type Scale } from "./scale";
import type { Cell, LinePlot, LineSeries, PlotPoint } from "../../types/report";

export function renderLinePlot(plot: LinePlot): Markup {
  const series = plot.series.map((line) => ({ ...line, points: drawable(line, plot) }));
  const points = series.flatMap((line) => line.points);
  const x = scaleOf(
    points.map((point) => point.x),
    plot.x.scale,
    box.left + 10,
    box.right - 10,
    false,
  );
  const y = scaleOf(
    points.flatMap((point) => [point.y, ...finite(point.low), ...finite(point.high)]),
    plot.y.scale,
    box.bottom,
    box.top,
    true,
  );
  const classes = series.map((line, index) => seriesClass(index, line.role));
  return renderFigure({
    title: plot.title,
    caption: plot.caption,
    legend: series.map((line, index) => ({
      label: line.label,
      sample: html`<g class="${classes[index]}"><path class="line" d="M1 6H25" />${mark(13, 6, index)}</g>`,
    })),
    drawing: html`${yAxis(y, plot.y)}${xAxis(x, plot.x)}${series.map((line, index) => band(line, x, y, classes[index]))}${series.map(
      (line, index) => curve(line, plot, x, y, classes[index], index),
    )}`,
    numbers: {
      caption: plot.title,
      columns: [{ label: plot.x.label }, ...series.map(({ label }) => ({ label }))],
      rows: numberRows(series),
    },
  });
}

function drawable(line: LineSeries, plot: LinePlot): PlotPoint[] {
  return line.points
    .filter(
      ({ x, y }) =>
        Number.isFinite(x) &&
        Number.isFinite(y) &&
        (plot.x.scale !== "log" || x > 0) &&
        (plot.y.scale !== "log" || y > 0),
    )
    .sort((a, b) => a.x - b.x);
}

function finite(value: number | undefined): number[] {
  return value !== undefined && Number.isFinite(value) ? [value] : [];
}

function band({ points }: LineSeries, x: Scale, y: Scale, name: string): Markup | null {
  const known = points.filter(
    ({ low, high }) => low !== undefined && high !== undefined && Number.isFinite(low) && Number.isFinite(high),
  );
  if (known.length < 2) return null;
  const upper = known.map((point) => `${at(x(point.x))} ${at(y(point.high as number))}`);
  const lower = known.map((point) => `${at(x(point.x))} ${at(y(point.low as number))}`).reverse();
  return html`<path class="${name} band" d="M${[...upper, ...lower].join("L")}Z" />`;
}

function curve(
  { label, points }: LineSeries,
  plot: LinePlot,
  x: Scale,
  y: Scale,
  name: string,
  index: number,
): Markup | null {
  if (points.length === 0) return null;
  const path = points.map((point) => `${at(x(point.x))} ${at(y(point.y))}`).join("L");
  const words = (point: PlotPoint) =>
    `${label}: ${formatValue(point.y, plot.y.format)} at ${formatValue(point.x, plot.x.format)}`;
  return html`<g class="${name}"
    ><path class="line" d="M${path}" />${points.map(
      (point) => html`<g><title>${words(point)}</title>${mark(x(point.x), y(point.y), index)}</g>`,
    )}</g
  >`;
}

/** Circle, square, triangle, diamond: series stay apart without colour. */
function mark(x: number, y: number, index: number): Markup {
  const [left, top] = [at(x), at(y)];
  const shapes = [
    html`<circle class="mark" cx="${left}" cy="${top}" r="3.4" />`,
    html`<path class="mark" d="M${at(x - 3.2)} ${at(y - 3.2)}h6.4v6.4h-6.4z" />`,
    html`<path class="mark" d="M${left} ${at(y - 4.2)}l4 7.2h-8z" />`,
    html`<path class="mark" d="M${left} ${at(y - 4.6)}l4.6 4.6l-4.6 4.6l-4.6 -4.6z" />`,
  ];
  return shapes[index % shapes.length];
}

function numberRows(series: readonly LineSeries[]): Cell[][] {
  const places = [...new Set(series.flatMap((line) => line.points.map(({ x }) => x)))].sort((a, b) => a - b);
  return places.map((x) => [
    x,
    ...series.map((line): Cell => {
      const point = line.points.find((candidate) => candidate.x === x);
      if (point === undefined) return null;
      return point.low === undefined || point.high === undefined
        ? point.y
        : { mean: point.y, low: point.low, high: point.high };
    }),
  ]);
}
