// Bars per category, series side by side: how many chosen units lie in each layer, how methods compare. Whiskers are intervals.
import { at, box, height, lineHeight, renderFigure, seriesClass, type Tick, xLabels, yAxis } from "./frame";
import { formatValue } from "./format";
import { html, type Markup } from "./html";
import { scaleOf, type Scale } from "./scale";
import type { BarPlot, BarSeries } from "../../types/report";
import type { Estimate } from "../../types/results";

/** Room for a category's text, per character. */
const characterWidth = 6.6;
/** Lines that a category's text may take. */
const mostLines = 3;

export function renderBarPlot(plot: BarPlot): Markup {
  const values = plot.series
    .flatMap((series) => series.values.map(estimateOf))
    .flatMap(({ mean, low, high }) => [mean, low, high]);
  const y = scaleOf([0, ...values], "linear", box.bottom, box.top, true);
  const band = (box.right - box.left) / Math.max(1, plot.categories.length);
  const classes = plot.series.map((series, index) => seriesClass(index, series.role));
  const ticks = categoryTicks(plot.categories, band);
  return renderFigure({
    title: plot.title,
    caption: plot.caption,
    legend:
      plot.series.length < 2
        ? []
        : plot.series.map(({ label }, index) => ({
            label,
            sample: html`<rect class="${classes[index]} bar" x="6" width="14" height="12" rx="2" />`,
          })),
    drawingHeight: height + (Math.max(1, ...ticks.map(({ lines }) => lines.length)) - 1) * lineHeight,
    drawing: html`${yAxis(y, plot.y)}${xLabels(ticks, plot.x.label)}${plot.series.map((series, index) =>
      bars(series, index, plot, band, y, classes[index]),
    )}`,
    numbers: {
      caption: plot.title,
      columns: [{ label: plot.x.label }, ...plot.series.map(({ label }) => ({ label }))],
      rows: plot.categories.map((category, row) => [
        category,
        ...plot.series.map((series) => series.values[row] ?? null),
      ]),
    },
  });
}

function estimateOf(value: number | Estimate): Estimate {
  return typeof value === "number" ? { mean: value, low: value, high: value } : value;
}

/** Numbers: each, or every n-th where they would run into each other. Texts: all, on at most three lines, then cut. */
function categoryTicks(categories: readonly string[], band: number): Tick[] {
  const places = categories.map((_, index) => box.left + (index + 0.5) * band);
  if (categories.every((category) => /^\d+$/.test(category))) {
    const longest = Math.max(1, ...categories.map(({ length }) => length));
    const every = Math.max(1, Math.ceil((longest * characterWidth + 4) / band));
    return categories.flatMap((category, index) =>
      index % every === 0 ? [{ place: places[index], lines: [category] }] : [],
    );
  }
  const room = Math.max(3, Math.floor(band / characterWidth));
  return categories.map((category, index) => ({ place: places[index], lines: wrapped(category, room) }));
}

/** Lines of at most `room` characters, broken between words. */
function wrapped(text: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1) ?? ""} ${word}`;
    if (lines.length > 0 && (longer.length <= room || lines.length === mostLines)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map((line) => (line.length > room ? `${line.slice(0, room - 1)}…` : line));
}

function bars(series: BarSeries, index: number, plot: BarPlot, band: number, y: Scale, name: string): Markup {
  const wide = (band * 0.78) / plot.series.length;
  return html`<g class="${name}"
    >${series.values.slice(0, plot.categories.length).map((value, category) => {
      const { mean, low, high } = estimateOf(value);
      if (!Number.isFinite(mean)) return null;
      const left = box.left + category * band + band * 0.11 + index * wide;
      const middle = left + wide / 2;
      const whisker =
        low < high
          ? html`<path
              class="whisker"
              d="M${at(middle)} ${at(y(low))}V${at(y(high))}M${at(middle - 3)} ${at(y(low))}h6M${at(middle - 3)} ${at(y(high))}h6"
            />`
          : null;
      return html`<g
        ><title>${plot.categories[category]}, ${series.label}: ${formatValue(mean, plot.y.format)}</title
        ><rect
          class="bar"
          x="${at(left)}"
          y="${at(Math.min(y(0), y(mean)))}"
          width="${at(Math.max(1, wide - 1))}"
          height="${at(Math.abs(y(mean) - y(0)))}"
          rx="1.5"
        />${whisker}</g
      >`;
    })}</g
  >`;
}
