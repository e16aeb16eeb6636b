// Bars per category, series side by side: how many chosen units lie in each layer, how methods compare. Whiskers are intervals.
import { at, box, renderFigure, seriesClass, xLabels, yAxis } from "./frame";
import { formatValue } from "./format";
import { html, type Markup } from "./html";
import { scaleOf, type Scale } from "./scale";
import type { BarPlot, BarSeries } from "../../types/report";
import type { Estimate } from "../../types/results";

/** Room for a category's text, per character. */
const characterWidth = 6.6;

export function renderBarPlot(plot: BarPlot): Markup {
  const values = plot.series.flatMap((series) => series.values.map(estimateOf)).flatMap(({ mean, low, high }) => [mean, low, high]);
  const y = scaleOf([0, ...values], "linear", box.bottom, box.top, true);
  const band = (box.right - box.left) / Math.max(1, plot.categories.length);
  const classes = plot.series.map((series, index) => seriesClass(index, series.role));
  return renderFigure({
    title: plot.title, caption: plot.caption,
    legend: plot.series.length < 2 ? [] : plot.series.map(({ label }, index) => ({ label, sample: html`<rect class="${classes[index]} bar" x="6" width="14" height="12" rx="2"/>` })),
    drawing: html`${yAxis(y, plot.y)}${xLabels(categoryTicks(plot.categories, band), plot.x.label)}${
      plot.series.map((series, index) => bars(series, index, plot, band, y, classes[index]))}`,
    numbers: {
      caption: plot.title, columns: [{ label: plot.x.label }, ...plot.series.map(({ label }) => ({ label }))],
      rows: plot.categories.map((category, row) => [category, ...plot.series.map((series) => series.values[row] ?? null)]),
    },
  });
}

function estimateOf(value: number | Estimate): Estimate {
  return typeof value === "number" ? { mean: value, low: value, high: value } : value;
}

/** Every category, or every n-th where their texts would run into each other; long texts are cut. */
function categoryTicks(categories: readonly string[], band: number): { place: number; text: string }[] {
  const longest = Math.max(1, ...categories.map((category) => Math.min(14, category.length)));
  const every = Math.max(1, Math.ceil((longest * characterWidth + 4) / band));
  const allNumbers = categories.every((category) => /^\d+$/.test(category));
  return categories.flatMap((category, index) => {
    if (allNumbers && index % every !== 0) return [];
    const room = allNumbers ? 14 : Math.max(3, Math.floor(band / characterWidth));
    const text = category.length > room ? `${category.slice(0, room - 1)}…` : category;
    return [{ place: box.left + (index + 0.5) * band, text }];
  });
}

function bars(series: BarSeries, index: number, plot: BarPlot, band: number, y: Scale, name: string): Markup {
  const wide = (band * 0.78) / plot.series.length;
  return html`<g class="${name}">${series.values.slice(0, plot.categories.length).map((value, category) => {
    const { mean, low, high } = estimateOf(value);
    if (!Number.isFinite(mean)) return null;
    const left = box.left + category * band + band * 0.11 + index * wide;
    const middle = left + wide / 2;
    const whisker = low < high ? html`<path class="whisker" d="M${at(middle)} ${at(y(low))}V${at(y(high))}M${at(middle - 3)} ${at(y(low))}h6M${at(middle - 3)} ${at(y(high))}h6"/>` : null;
    return html`<g><title>${plot.categories[category]}, ${series.label}: ${formatValue(mean, plot.y.format)}</title><rect class="bar" x="${at(left)}" y="${at(Math.min(y(0), y(mean)))}" width="${at(Math.max(1, wide - 1))}" height="${at(Math.abs(y(mean) - y(0)))}" rx="1.5"/>${whisker}</g>`;
  })}</g>`;
}
