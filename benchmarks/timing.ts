// Times contenders side by side: A B B A, so that a slower minute of the machine slows all of them, and none always finds the
// caches as the same other one left them.
import type { Row, Spread } from "./benchmark";

export interface Contender {
  readonly name: string;
  /** Runs once and gives its seconds; a reference in another process measures its own. */
  readonly run: () => Promise<number>;
  /** How often it runs, spread over the rounds. @default every round */
  readonly repeats?: number;
  /** The measured seconds stand for this many times as much work. @default 1 */
  readonly scale?: number;
  readonly note?: string;
}

/** Seconds that a call takes. */
export async function seconds(call: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await call();
  return (performance.now() - start) / 1000;
}

/** The order of runs: rounds there and back, one with fewer repeats in as many evenly spread rounds (at least once). */
export function schedule(contenders: readonly Pick<Contender, "repeats">[], rounds: number): number[] {
  return Array.from({ length: rounds }, (_, round) => {
    const due = contenders
      .map((_, index) => index)
      .filter((index) => {
        const count = Math.min(rounds, Math.max(1, contenders[index].repeats ?? rounds));
        return Math.floor(((round + 1) * count) / rounds) > Math.floor((round * count) / rounds);
      });
    return round % 2 === 0 ? due : due.reverse();
  }).flat();
}

/** Medians of all contenders; every one has `run` once before the clock counts where `warm` says so. */
export async function interleaved(
  contenders: readonly Contender[],
  rounds: number,
  log: (text: string) => void,
): Promise<Spread[]> {
  const taken: number[][] = contenders.map(() => []);
  for (const index of schedule(contenders, rounds)) {
    const { name, run, scale = 1 } = contenders[index];
    const measured = await run();
    taken[index].push(measured * scale);
    log(`${name}: ${measured.toFixed(3)} s`);
  }
  return taken.map(spreadOf);
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1], repeats: sorted.length };
}

/** Rows of contenders measured together; the first of them is ours. */
export function timeRows(
  group: string,
  contenders: readonly Pick<Contender, "name" | "note">[],
  spreads: readonly Spread[],
): Row[] {
  return contenders.map(({ name, note = "" }, index) => ({
    group,
    name,
    unit: "s",
    ...spreads[index],
    timesOurs: spreads[index].median / spreads[0].median,
    note,
  }));
}
