// On what a benchmark ran: the hardware, how busy it was, and our own versions.
import { cpus, loadavg, totalmem } from "node:os";
import { native } from "../lib/native";
import { libraryVersion } from "../lib/provenance";

export interface Hardware {
  readonly processor: string;
  readonly cores: number;
  /** Threads that libtorch uses. */
  readonly threads: number;
  readonly memoryGB: number;
  /** Runnable processes in the minute before the start; above 0.5 somebody else was at work. */
  readonly loadBefore: number;
}

export function hardware(loadBefore: number): Hardware {
  const all = cpus();
  return {
    processor: all[0]?.model.trim() ?? "unknown",
    cores: all.length,
    threads: native().versions().threads,
    memoryGB: Math.round(totalmem() / 2 ** 30),
    loadBefore: Number(loadBefore.toFixed(2)),
  };
}

export const load = (): number => loadavg()[0];

export function ownVersions(): Record<string, string> {
  return { attribution: libraryVersion(), libtorch: native().versions().libtorch, node: process.version };
}
