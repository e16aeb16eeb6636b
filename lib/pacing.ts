// Shares the event loop: long loops give it back every few milliseconds, and notice an abort there.
import type { CallOptions } from "../types/common";
import { AttributionError } from "./errors";

const longestSlice = 6; // ms

/** Call it often, and await what it returns: a promise once the current slice is used up, undefined until then. */
export function pacer(): () => Promise<void> | undefined {
  let started = performance.now();
  return () => {
    if (performance.now() - started < longestSlice) return undefined;
    return new Promise<void>((resolve) => {
      setImmediate(() => {
        started = performance.now();
        resolve();
      });
    });
  };
}

/** Throws "aborted" once the signal has fired. */
export function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AttributionError("aborted", "The call was aborted", { cause: signal.reason });
}

/** A pacer that also rejects with "aborted" once the signal has fired. */
export type Pace = () => Promise<void>;

export function pacedBy(signal: AbortSignal | undefined): Pace {
  const pace = pacer();
  return async () => {
    stopIfAborted(signal);
    await pace();
  };
}

/** A computation cut into steps: it yields between them and returns its result. */
export type Steps<T> = Generator<void, T>;

/** Runs all steps now. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Runs the steps with pauses for the event loop. */
export async function inSlices<T>(steps: Steps<T>, pace: Pace): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    await pace();
  }
}

/** Milliseconds between two reports of progress. */
const leastBetweenReports = 50;

/** Works on the rows 0 … rows − 1, one after the other, with pauses; reports progress, and stops when the call is aborted. */
export async function everyRow(
  rows: number,
  stage: string,
  { signal, onProgress }: CallOptions,
  work: (row: number) => Steps<void> | void,
): Promise<void> {
  const pace = pacedBy(signal);
  let reported = -Infinity;
  for (let row = 0; row < rows; row++) {
    const steps = work(row);
    if (steps !== undefined) await inSlices(steps, pace);
    await pace();
    const now = performance.now();
    if (onProgress === undefined || (row + 1 < rows && now - reported < leastBetweenReports)) continue;
    reported = now;
    onProgress({ done: row + 1, total: rows, stage });
  }
}
