// Peak memory of one call above the loaded model, in a process of its own.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { formatNumber } from "../lib/report/format";
import { atMost, type Bar, type Row } from "./benchmark";

export interface MemoryJob {
  readonly directory: string;
  readonly rows: readonly (readonly number[])[];
  /** The stated budget, in MB. */
  readonly budget: number;
  /** "similarity", "ekfac": the last rows are the queries. */
  readonly call: "integratedGradients" | "curves" | "similarity" | "ekfac";
  /** How many of the last rows. @default 32 */
  readonly queries?: number;
}

export interface PeakMemory {
  /** Resident bytes with the model loaded and nothing run, and the highest during the call. */
  readonly loaded: number;
  readonly peak: number;
  /** Of the call. */
  readonly seconds: number;
}

export async function peakMemory(job: MemoryJob): Promise<PeakMemory> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(__dirname, "memory-child.js"), JSON.stringify(job)],
    { maxBuffer: 1 << 20 },
  );
  return JSON.parse(stdout) as PeakMemory;
}

/** A row and a bar for each job: the peak above the loaded model is at most the budget and a tenth. */
export async function memoryRows(
  jobs: readonly (MemoryJob & { readonly group: string })[],
  log: (text: string) => void,
): Promise<{ rows: Row[]; bars: Bar[] }> {
  const rows: Row[] = [];
  const bars: Bar[] = [];
  for (const { group, ...job } of jobs) {
    const { loaded, peak } = await peakMemory(job);
    const above = (peak - loaded) / 2 ** 20;
    const name = `peak RSS above the loaded model, memory: "${job.budget} MB"`;
    log(`${group}, ${name}: ${above.toFixed(0)} MB`);
    rows.push({
      group,
      name,
      unit: "MB",
      median: above,
      min: above,
      max: above,
      repeats: 1,
      timesOurs: null,
      note: `loaded model: ${formatNumber(Math.round(loaded / 2 ** 20))} MB`,
    });
    bars.push(atMost(`${group}: peak memory over the budget of ${job.budget} MB`, above / job.budget, 1.1));
  }
  return { rows, bars };
}
