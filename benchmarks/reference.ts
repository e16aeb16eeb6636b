// A reference program in Python as a child process that answers one JSON line with one JSON line, so that its runs alternate
// with ours in one session. It measures its own seconds.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { AttributionError } from "../lib/errors";
import { benchmarkFolder } from "./folder";

export interface Reference extends AsyncDisposable {
  readonly versions: Readonly<Record<string, string>>;
  ask<T>(command: string, params?: object): Promise<T>;
}

interface Answer {
  readonly result?: unknown;
  readonly error?: string;
}

export const python = (): string => process.env["ATTRIBUTION_PYTHON"] ?? "python3";

/** Starts benchmarks/reference/SCRIPT; "missing" where it cannot start (no such Python, or packages that it needs). */
export async function openReference(
  script: string,
  { interpreter = python(), threads = 2 }: { interpreter?: string; threads?: number } = {},
): Promise<Reference> {
  const child = spawn(interpreter, [join(benchmarkFolder(), "reference", script), String(threads)], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, OMP_NUM_THREADS: String(threads) },
  });
  const next = answers(child, `${interpreter} ${script}`);
  const ask = async <T>(command: string, params: object = {}): Promise<T> => {
    child.stdin.write(`${JSON.stringify({ ...params, command })}\n`);
    return (await next()) as T;
  };
  const versions = (await next()) as Record<string, string>;
  return { versions, ask, [Symbol.asyncDispose]: () => ended(child) };
}

/** The child's answers one after the other; rejects with its own words when it fails or ends. */
function answers(child: ChildProcessWithoutNullStreams, who: string): () => Promise<unknown> {
  let complaint = "";
  child.stderr.on("data", (text: Buffer) => {
    complaint = (complaint + text.toString()).slice(-2000);
  });
  child.stdin.on("error", () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const failed = new Promise<never>((_, reject) => child.once("error", reject));
  failed.catch(() => undefined);
  return async () => {
    const line = await Promise.race([lines.next(), failed]).catch((error: Error) => {
      throw new AttributionError(
        "missing",
        `${who} could not start (${error.message}). Name a Python with torch and transformers: ATTRIBUTION_PYTHON=/path/to/python`,
      );
    });
    if (line.done)
      throw new AttributionError(
        "missing",
        `${who} ended: ${complaint.trim().split("\n").slice(-3).join(" ")}. It needs a Python with torch and transformers: ATTRIBUTION_PYTHON=/path/to/python`,
      );
    const { result, error } = JSON.parse(line.value) as Answer;
    if (error !== undefined) throw new AttributionError("native", `${who}: ${error}`);
    return result;
  };
}

function ended(child: ChildProcessWithoutNullStreams): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", () => resolve());
    child.stdin.end();
  });
}

/** Numbers that a reference sent as base64 of little-endian float32. */
export function floats(base64: string): Float32Array {
  const bytes = Buffer.from(base64, "base64");
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** Numbers that a reference sent as base64 of little-endian float64. */
export function doubles(base64: string): Float64Array {
  const bytes = Buffer.from(base64, "base64");
  return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}
