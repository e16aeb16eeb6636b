// One run of the demo: steps with progress bars and their times, tables on the terminal, one signal that stops it all.
import { duration } from "../study/duration";
import { wrapped } from "./table";
import type { Terminal } from "./terminal";
import type { CallOptions } from "../../types/common";
import type { ReportSection } from "../../types/report";

export interface StepTime {
  readonly title: string;
  readonly seconds: number;
}

export interface Session {
  readonly seed: number;
  /** Runs a step under its progress bar; hand `call` to the library. `outcome` says in a few words what came out. */
  step<T>(title: string, work: (call: CallOptions) => Promise<T>, outcome?: (result: T) => string): Promise<T>;
  /** Shows a section's explanation and tables on the terminal. */
  show(section: ReportSection): void;
  say(text: string): void;
  readonly times: readonly StepTime[];
}

export interface SessionOptions {
  readonly seed: number;
  readonly signal?: AbortSignal;
  readonly terminal: Pick<Terminal, "say" | "table" | "heading" | "startStep" | "width">;
}

export function startSession({ seed, signal, terminal }: SessionOptions): Session {
  const times: StepTime[] = [];
  return {
    seed,
    times,
    say: terminal.say,
    step: async (title, work, outcome) => {
      const started = performance.now();
      const step = terminal.startStep(title);
      const result = await work({ onProgress: step.onProgress, ...(signal === undefined ? {} : { signal }) });
      times.push({ title, seconds: (performance.now() - started) / 1000 });
      step.done(outcome?.(result));
      return result;
    },
    show: ({ title, explanation, blocks }) => {
      const tables = blocks.filter((block) => block.kind === "table");
      if (tables.length === 0) return;
      terminal.heading(`\n── ${title}`);
      terminal.say(wrapped(explanation, Math.min(terminal.width, 110)).join("\n"));
      for (const table of tables) {
        terminal.say("");
        terminal.table(table);
      }
    },
  };
}

/** The sum of the steps' times, e.g. "2:10 min". */
export function totalTime(times: readonly StepTime[]): string {
  return duration(1000 * times.reduce((sum, { seconds }) => sum + seconds, 0));
}

/** The file of a report whose place may be a folder. */
export function reportFile(out: string): string {
  return /\.html?$/i.test(out) ? out : `${out.replace(/\/+$/, "")}/index.html`;
}
