// Whether times grow in proportion: a straight line through them by least squares, and how far they lie from it.
import { AttributionError } from "../lib/errors";
import { mean } from "../lib/statistics";

export interface Line {
  readonly intercept: number;
  readonly slope: number;
  /** Share of the variance that the line explains. */
  readonly r2: number;
  /** [point] measured over fitted, less 1. */
  readonly residuals: readonly number[];
}

export function straightLine(x: readonly number[], y: readonly number[]): Line {
  if (x.length !== y.length || new Set(x).size < 3)
    throw new AttributionError(
      "invalid",
      `Expected at least 3 sizes with a time each but received ${x.length} and ${y.length}`,
    );
  const [meanX, meanY] = [mean(x), mean(y)];
  const sum = (term: (i: number) => number): number => x.reduce((total, _, i) => total + term(i), 0);
  const slope = sum((i) => (x[i] - meanX) * (y[i] - meanY)) / sum((i) => (x[i] - meanX) ** 2);
  const intercept = meanY - slope * meanX;
  const fitted = x.map((value) => intercept + slope * value);
  const r2 = 1 - sum((i) => (y[i] - fitted[i]) ** 2) / sum((i) => (y[i] - meanY) ** 2);
  return { intercept, slope, r2, residuals: y.map((value, i) => value / fitted[i] - 1) };
}
