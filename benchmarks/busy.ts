// A call in a process of its own, under an environment that says how threads wait, alone or beside busy processes.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

export interface BusyJob {
  readonly directory: string;
  readonly rows: readonly (readonly number[])[];
  readonly call: "fineTune" | "integratedGradients" | "gradientSimilarity" | "influence" | "buildGradientStore";
  /** Measured runs, after one that is not. */
  readonly repeats: number;
}

/** What libgomp and the library read about threads. */
const variables = ["ATTRIBUTION_THREADS", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"];

/** Seconds of each run. */
export async function runBusy(job: BusyJob, settings: Readonly<Record<string, string>>): Promise<number[]> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !variables.includes(name)));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(__dirname, "busy-child.js"), JSON.stringify(job)],
    { env: { ...env, ...settings }, maxBuffer: 1 << 20 },
  );
  return JSON.parse(stdout) as number[];
}

/** Runs a call while so many processes count without end. */
export async function besideLoops<T>(count: number, call: () => Promise<T>): Promise<T> {
  const loops: ChildProcess[] = Array.from({ length: count }, () =>
    spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }),
  );
  try {
    return await call();
  } finally {
    for (const loop of loops) loop.kill("SIGKILL");
  }
}
