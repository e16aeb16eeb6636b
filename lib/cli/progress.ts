// Progress of long steps: a bar with the time left where a terminal shows it, a plain line now and then where it goes to a
// file. Written to stderr, so that stdout holds results only.
import { displayWidth } from "./table";
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
const plainLineAfter = 15_000; // ms
const barLength = 24;

/**
 * Starts steps that show their progress. On a terminal a step is one line that redraws itself; elsewhere a line at the start,
 * one every 15 seconds and one at the end.
 * @example const step = progressSteps()("Fine-tuning"); await fineTune(model, train, { onProgress: step.onProgress }); step.done();
 */
export function progressSteps({ stream = process.stderr, now = () => performance.now() }: ProgressOptions = {}): (
  title: string,
) => ProgressStep {
  return (title) => (stream.isTTY === true ? barStep(title, stream, now) : plainStep(title, stream, now));
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

function plainStep(title: string, stream: ProgressStream, now: () => number): ProgressStep {
  const started = now();
  const left = timeLeft(now);
  let written = started;
  stream.write(`${title} …\n`);
  return {
    onProgress: (progress) => {
      const words = left(progress);
      if (now() - written < plainLineAfter) return;
      written = now();
      stream.write(`${title}: ${progress.stage} ${progress.done} of ${progress.total}${words}\n`);
    },
    done: (outcome) =>
      void stream.write(
        `${title}: done in ${duration(now() - started)}${outcome === undefined ? "" : `, ${outcome}`}\n`,
      ),
  };
}

/** Words for the time left in the current stage, from its pace so far; none in its first second. */
function timeLeft(now: () => number): (progress: Progress) => string {
  let stage: string | undefined;
  let [started, startedAt] = [0, 0];
  return ({ done, total, stage: current }) => {
    if (current !== stage) {
      stage = current;
      [started, startedAt] = [now(), done];
    }
    const [elapsed, made] = [now() - started, done - startedAt];
    return elapsed < 1000 || made <= 0 || done >= total ? "" : `, ${duration((elapsed * (total - done)) / made)} left`;
  };
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

/** 0.8 s, 12 s, 3:07 min, 1:02:09 h. */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)} h` : `${minutes}:${two(whole % 60)} min`;
}

function cut(line: string, most: number): string {
  if (displayWidth(line) <= most) return line;
  let kept = "";
  for (const character of line) {
    if (displayWidth(kept + character) > most - 1) break;
    kept += character;
  }
  return `${kept}…`;
}
