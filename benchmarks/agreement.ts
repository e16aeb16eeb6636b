// Whether two contenders computed the same: a benchmark whose scores differ measures nothing.
import { AttributionError } from "../lib/errors";

/** Largest difference over the largest magnitude of the reference's, or over `scale`. */
export function relativeDifference(own: ArrayLike<number>, reference: ArrayLike<number>, scale?: number): number {
  if (own.length !== reference.length || own.length === 0)
    throw new AttributionError("mismatch", `Expected ${reference.length} scores but received ${own.length}`);
  let [difference, size] = [0, 0];
  for (let i = 0; i < own.length; i++) {
    difference = Math.max(difference, Math.abs(own[i] - reference[i]));
    size = Math.max(size, Math.abs(reference[i]));
    if (Number.isNaN(own[i] - reference[i])) return Number.NaN;
  }
  return difference / (scale ?? size);
}

/** Refuses scores that differ by more than `most`, relative to the largest. */
export function requireEqual(what: string, own: ArrayLike<number>, reference: ArrayLike<number>, most: number): number {
  const difference = relativeDifference(own, reference);
  if (!(difference <= most))
    throw new AttributionError(
      "mismatch",
      `${what}: the scores differ by ${difference.toExponential(1)} relative, more than ${most}`,
    );
  return difference;
}
