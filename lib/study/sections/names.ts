// What sections share: names of subjects, and means over what several runs gave.
import type { Estimate } from "../../../types/results";
import type { SubjectResults } from "../results";

/** The model's name, with the data set's where a study has several. */
export function nameOf({ model, data }: SubjectResults, subjects: readonly SubjectResults[]): string {
  return subjects.every((other) => other.data === data) ? model : `${model}, ${data}`;
}

/** Mean with the smallest and the largest value: no interval of confidence, and not called one. */
export function rangeOf(values: readonly number[]): Estimate {
  return {
    mean: values.reduce((sum, value) => sum + value, 0) / values.length,
    low: Math.min(...values),
    high: Math.max(...values),
  };
}

export function rangeNote(seeds: number): string {
  return seeds === 1
    ? "One seed: brackets have no width."
    : `Means over ${seeds} seeds; brackets: the smallest and the largest of them, no interval of confidence.`;
}

/** Rounded to so many digits after the point, with a true minus. */
export function rounded(value: number, digits = 2): string {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? Math.abs(value) : value).toFixed(digits).replace("-", "−");
}

export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
