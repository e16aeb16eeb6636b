// How long a call holds the event loop: the most that this thread works between two of the loop's turns. Counted in processor
// time where the system tells it, since on a busy machine a thread also waits for its processor; the best of a few tries,
// since garbage collection falls where it likes. A call that really holds the loop does so every time.
import { readFileSync } from "node:fs";

export const longestHold = 20; // ms

export async function shortestHold(call: () => Promise<unknown>, tries = 10): Promise<number> {
  let best = Infinity;
  for (let attempt = 0; attempt < tries && best >= longestHold; attempt++)
    best = Math.min(best, await longestGap(call));
  return best;
}

/** Milliseconds this (the main) thread has worked, else the clock. */
export function worked(): number {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "latin1").split(" ")[0]) / 1e6;
  } catch {
    return performance.now();
  }
}

export async function longestGap(call: () => Promise<unknown>): Promise<number> {
  await turn();
  let [last, longest, running] = [worked(), 0, true];
  const watch = (): void => {
    const now = worked();
    [longest, last] = [Math.max(longest, now - last), now];
    if (running) setImmediate(watch);
  };
  setImmediate(watch);
  await call();
  await turn();
  running = false;
  return longest;
}

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });
