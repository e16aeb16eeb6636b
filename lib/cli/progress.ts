// Progress of long steps: a bar with rate and time left on a terminal, nothing where stderr goes to a file or a pipe. Written to
// stderr, so that stdout holds results only.
import { duration } from "../study/duration";
import { cut } from "./table";
import type { Progress } from "../../types/common";

export interface ProgressStep {
  /** Give it to a long call as its `onProgress`. */
  readonly onProgress: (progress: Progress) => void;
  /** Ends the step with its time and, if given, what came out. */
  done(outcome?: string): void;
}

export interface ProgressStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

export interface ProgressOptions {
  /** @default process.stderr */
  readonly stream?: ProgressStream;
  /** Milliseconds; for tests. @default performance.now */
  readonly now?: () => number;
}

const redrawAfter = 80; // ms
const barLength = 24;
const silentStep: ProgressStep = { onProgress: () => undefined, done: () => undefined };

/**
 * Starts steps that show their progress. On a terminal a step is one line that redraws itself; elsewhere it writes nothing.
 * @example const step = progressSteps()("Fine-tuning"); await fineTune(model, train, { onProgress: step.onProgress }); step.done();
 */
export function progressSteps({ stream = process.stderr, now = () => performance.now() }: ProgressOptions = {}): (
  title: string,
) => ProgressStep {
  return (title) => (stream.isTTY === true ? barStep(title, stream, now) : silentStep);
}

function barStep(title: string, stream: ProgressStream, now: () => number): ProgressStep {
  const started = now();
  const left = timeLeft(now);
  let drawn = -Infinity;
  const draw = (line: string) => stream.write(`\r\u001b[2K${cut(line, (stream.columns || 80) - 1)}`);
  draw(`  ${title} …`);
  return {
    onProgress: (progress) => {
      const words = left(progress);
      if (now() - drawn < redrawAfter && progress.done < progress.total) return;
      drawn = now();
      draw(`  ${title} ${bar(progress)} ${percent(progress)}${words}  ${progress.stage}`);
    },
    done: (outcome) => {
      draw(`✓ ${title} (${duration(now() - started)})${outcome === undefined ? "" : `: ${outcome}`}`);
      stream.write("\n");
    },
  };
}

/** Words for the rate and the time left in the current stage, from its pace so far; none in its first second. */
function timeLeft(now: () => number): (progress: Progress) => string {
  let stage: string | undefined;
  let [started, startedAt] = [0, 0];
  return ({ done, total, stage: current, tokensPerSecond }) => {
    if (current !== stage) {
      stage = current;
      [started, startedAt] = [now(), done];
    }
    const [elapsed, made] = [now() - started, done - startedAt];
    if (elapsed < 1000 || made <= 0 || done >= total) return "";
    const perSecond = (1000 * made) / elapsed;
    const own = current === "download" ? `${rounded(perSecond / 1e6)} MB/s` : `${rounded(perSecond)}/s`;
    const rate = tokensPerSecond === undefined ? own : `${rounded(tokensPerSecond)} tokens/s`;
    return `, ${rate}, ${duration((elapsed * (total - done)) / made)} left`;
  };
}

/** 0.42, 4.2, 42, 420 */
function rounded(rate: number): string {
  return rate >= 10 ? String(Math.round(rate)) : rate.toPrecision(2);
}

function share({ done, total }: Progress): number {
  return total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
}

function bar(progress: Progress): string {
  const full = Math.round(share(progress) * barLength);
  return `${"█".repeat(full)}${"░".repeat(barLength - full)}`;
}

function percent(progress: Progress): string {
  return `${Math.floor(share(progress) * 100)} %`.padStart(5);
}
