// From values to places on a plot, linear or logarithmic, and the round values at which to put ticks.
import type { PlotAxis } from "../../types/report";

export interface Scale {
  /** Place of a value, in the plot's own units. */
  (value: number): number;
  readonly ticks: readonly number[];
  readonly low: number;
  readonly high: number;
}

/** A scale that holds all values, between the places `from` and `to`; a linear one ends at ticks where `round` says so. */
export function scaleOf(
  values: readonly number[],
  kind: PlotAxis["scale"],
  from: number,
  to: number,
  round: boolean,
): Scale {
  const [low, high] = extent(values);
  if (kind === "log" && low > 0) return logScale(low, high, from, to);
  const step = niceStep(high - low);
  const [start, end] = round
    ? [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step]
    : [low, high];
  const place = (value: number) => from + ((value - start) / (end - start)) * (to - from);
  return Object.assign(place, { ticks: multiples(start, end, step), low: start, high: end });
}

/** Smallest and largest value, at least a little apart. */
function extent(values: readonly number[]): [number, number] {
  const finite = values.filter((value) => Number.isFinite(value));
  if (finite.length === 0) return [0, 1];
  const low = finite.reduce((a, b) => Math.min(a, b));
  const high = finite.reduce((a, b) => Math.max(a, b));
  if (high > low) return [low, high];
  return low === 0 ? [0, 1] : low > 0 ? [0, high] : [low, 0];
}

/** 1, 2 or 5 times a power of ten that gives about five ticks. */
export function niceStep(range: number): number {
  const rough = range / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough * 0.999) ?? 10;
  return factor * power;
}

function multiples(start: number, end: number, step: number): number[] {
  const ticks: number[] = [];
  for (let at = Math.ceil(start / step - 1e-9); at * step <= end + step * 1e-9; at++)
    ticks.push(Number((at * step).toPrecision(12)));
  return ticks;
}

/** Ticks at 1, 2 and 5 times the powers of ten within the range; at the powers only where these would crowd. */
function logScale(low: number, high: number, from: number, to: number): Scale {
  const powers = Array.from(
    { length: Math.ceil(Math.log10(high)) - Math.floor(Math.log10(low)) + 1 },
    (_, at) => 10 ** (Math.floor(Math.log10(low)) + at),
  );
  const inRange = (tick: number) => tick >= low * 0.999 && tick <= high * 1.001;
  const fine = powers
    .flatMap((power) => [1, 2, 5].map((factor) => Number((factor * power).toPrecision(12))))
    .filter(inRange);
  const ticks = fine.length <= 10 ? fine : powers.filter(inRange);
  const span = Math.log(high / low);
  const place = (value: number) => from + (Math.log(value / low) / span) * (to - from);
  return Object.assign(place, { ticks, low, high });
}
