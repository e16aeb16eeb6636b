// What a command writes to: results to stdout, progress and complaints to stderr. Knows width and colour; the only place that does.
import { styleText } from "node:util";
import type { ReportTable } from "../../types/report";
import { type ProgressStep, progressSteps } from "./progress";
import { textTable } from "./table";

export interface OutputStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

export interface TerminalOptions {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly quiet: boolean;
}

export interface Terminal {
  /** A line of the result. */
  say(text: string): void;
  /** A table that fits the terminal's width. */
  table(table: Omit<ReportTable, "kind">): void;
  json(value: unknown): void;
  heading(text: string): void;
  /** A line for the reader only: not with --quiet, never in what is piped. */
  note(text: string): void;
  startStep(title: string): ProgressStep;
  /** Columns of the terminal; Infinity where the output goes to a file or a pipe. */
  readonly width: number;
}

export function openTerminal({ stdout, stderr, env, quiet }: TerminalOptions): Terminal {
  const width = stdout.isTTY === true ? Number(env["COLUMNS"]) || stdout.columns || 80 : Infinity;
  const colours = stdout.isTTY === true && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  const say = (text: string): void => void stdout.write(`${text}\n`);
  const silent = { onProgress: () => undefined, done: () => undefined };
  return {
    width,
    say,
    table: (table) => say(textTable(table, width)),
    json: (value) => say(JSON.stringify(value, plain, 2)),
    heading: (text) => say(colours ? styleText("bold", text, { validateStream: false }) : text),
    note: (text) => {
      if (!quiet) stderr.write(`${text}\n`);
    },
    startStep: quiet || stderr.isTTY !== true ? () => silent : progressSteps({ stream: stderr }),
  };
}

/** Typed arrays as lists, and what JSON has no number for as null. */
function plain(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) && !(value instanceof DataView)
    ? Array.from(value as unknown as ArrayLike<number>)
    : value;
}
