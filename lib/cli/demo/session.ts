// One run of the demo: steps with progress bars and their times, tables on the terminal, one signal that stops it all.
import { duration, type ProgressStep } from "../progress";
import { textTable } from "../table";
import type { CallOptions } from "../../../types/common";
import type { ReportSection } from "../../../types/report";

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
  /** Results go here. */
  readonly write: (text: string) => void;
  readonly startStep: (title: string) => ProgressStep;
}

export function startSession({ seed, signal, write, startStep }: SessionOptions): Session {
  const times: StepTime[] = [];
  const say = (text: string): void => write(`${text}\n`);
  return {
    seed,
    times,
    say,
    step: async (title, work, outcome) => {
      const started = performance.now();
      const step = startStep(title);
      const result = await work({ onProgress: step.onProgress, ...(signal === undefined ? {} : { signal }) });
      times.push({ title, seconds: (performance.now() - started) / 1000 });
      step.done(outcome?.(result));
      return result;
    },
    show: ({ title, explanation, blocks }) => {
      const tables = blocks.filter((block) => block.kind === "table");
      if (tables.length > 0)
        say(
          [
            "",
            `── ${title}`,
            wrapped(explanation),
            "",
            tables
              .map((table) => textTable({ ...table, notes: table.notes?.map((note) => wrapped(note)) }))
              .join("\n\n"),
            "",
          ].join("\n"),
        );
    },
  };
}

/** The sum of the steps' times, e.g. "2:10 min". */
export function totalTime(times: readonly StepTime[]): string {
  return duration(1000 * times.reduce((sum, { seconds }) => sum + seconds, 0));
}

function wrapped(text: string, width = 110): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.length - 1;
    if (lines[line] !== "" && lines[line].length + word.length >= width) lines.push(word);
    else lines[line] += lines[line] === "" ? word : ` ${word}`;
  }
  return lines.join("\n");
}
