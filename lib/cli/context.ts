// What every command has: the terminal, the signal of Ctrl-C, and steps that show their progress.
import { access, constants, mkdtemp, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { CallOptions } from "../../types/common";
import { AttributionError } from "../errors";
import type { Terminal } from "./terminal";

export interface Context {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  /** Runs a step under its progress bar; hand `call` to the library. */
  step<T>(title: string, work: (call: CallOptions) => Promise<T>, outcome?: (result: T) => string): Promise<T>;
}

export function contextOf(terminal: Terminal, signal: AbortSignal): Context {
  return {
    terminal,
    signal,
    step: async (title, work, outcome) => {
      const step = terminal.startStep(title);
      const result = await work({ onProgress: step.onProgress, signal });
      step.done(outcome?.(result));
      return result;
    },
  };
}

/** "missing" unless the path can be read. */
export async function requireReadable(path: string, what: string): Promise<string> {
  try {
    await access(path, constants.R_OK);
  } catch (cause) {
    throw new AttributionError("missing", `${what} ${path} cannot be read`, { cause });
  }
  return path;
}

/**
 * Refuses an output path before work starts: its nearest folder that exists must take a new file, and nothing of the other kind may
 * stand in its way.
 */
export async function requireWritable(path: string, kind: "file" | "folder"): Promise<string> {
  const target = resolve(path);
  const found = await nearest(target);
  const isOther = found.path === target && found.isFolder !== (kind === "folder");
  if (isOther || (found.path !== target && !found.isFolder))
    throw new AttributionError(
      "invalid",
      `${path} cannot be written: ${found.path} is a ${found.isFolder ? "folder" : "file"}`,
    );
  try {
    await rmdir(await mkdtemp(join(found.isFolder ? found.path : dirname(found.path), ".attribution-")));
  } catch (cause) {
    throw new AttributionError("invalid", `${path} cannot be written: ${found.path} takes no new file`, { cause });
  }
  return target;
}

/** The path itself where there is something, else the nearest folder above it. */
export async function nearest(path: string): Promise<{ readonly path: string; readonly isFolder: boolean }> {
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined || dirname(path) === path) return { path, isFolder: found?.isDirectory() ?? true };
  return nearest(dirname(path));
}
