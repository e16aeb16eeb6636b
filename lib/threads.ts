// How many threads the core takes and how they wait: what the machine grants this process, not what it has.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";

/** Rounds of waiting before a thread sleeps: some 0.1 ms. libgomp's own 300,000 take whole time slices of other programs. */
const spinCount = "2000";

/**
 * libgomp reads the environment once, when the addon loads it. Call this before. A user's own GOMP_SPINCOUNT or OMP_WAIT_POLICY
 * stays. A worker thread with an environment of its own cannot reach libgomp's; set the variables in the main thread's.
 */
export function boundWaiting(environment: NodeJS.ProcessEnv = process.env): void {
  if (environment["GOMP_SPINCOUNT"] !== undefined || environment["OMP_WAIT_POLICY"] !== undefined) return;
  environment["GOMP_SPINCOUNT"] = spinCount;
}

/** How threads wait for work, in words, with the variable that says so. */
export function waitingOf(environment: NodeJS.ProcessEnv = process.env): string {
  const { OMP_WAIT_POLICY: policy, GOMP_SPINCOUNT: rounds } = environment;
  if (rounds !== undefined) return `wait ${rounds} rounds, then sleep (GOMP_SPINCOUNT)`;
  if (policy?.toLowerCase() === "passive") return "sleep at once (OMP_WAIT_POLICY)";
  return "wait awake (OMP_WAIT_POLICY)";
}

/** Reads a file as text; undefined where there is none. */
export type ReadText = (path: string) => string | undefined;

const readText: ReadText = (path) => {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
};

/**
 * Threads for the core: the processors that this process may run on, and no more than its control group's quota. A quota's fraction
 * is rounded down: threads beyond it are stopped in every period, and the others wait for them.
 */
export function grantedThreads(processors: number = availableParallelism(), read: ReadText = readText): number {
  return Math.max(1, Math.min(processors, Math.floor(processorQuota(read))));
}

/** Processors' worth of time that the control groups of this process grant, Infinity without a limit. */
export function processorQuota(read: ReadText = readText): number {
  const groups = (read("/proc/self/cgroup") ?? "").split("\n").map((line) => line.split(":"));
  const quotas = groups.map(([number, controllers = "", ...rest]) => {
    const path = rest.join(":");
    if (number === "0" && controllers === "")
      return leastOf("/sys/fs/cgroup", path, (folder) => secondVersion(folder, read));
    if (!controllers.split(",").includes("cpu")) return Infinity;
    return Math.min(
      ...["cpu", controllers].map((name) =>
        leastOf(`/sys/fs/cgroup/${name}`, path, (folder) => firstVersion(folder, read)),
      ),
    );
  });
  return Math.min(Infinity, ...quotas);
}

/** The least quota of a group and all that it lies in. */
function leastOf(root: string, path: string, quotaOf: (folder: string) => number): number {
  let least = quotaOf(root);
  for (let group = path; group !== "" && group !== "/" && group !== "."; group = dirname(group))
    least = Math.min(least, quotaOf(join(root, group)));
  return least;
}

/** cpu.max: "150000 100000", or "max 100000" */
function secondVersion(folder: string, read: ReadText): number {
  const [quota, period] = (read(join(folder, "cpu.max")) ?? "max").trim().split(/\s+/);
  return quota === "max" ? Infinity : quotient(quota, period);
}

/** cpu.cfs_quota_us is −1 without a limit. */
function firstVersion(folder: string, read: ReadText): number {
  const quota = read(join(folder, "cpu.cfs_quota_us"));
  return quota === undefined || Number(quota) <= 0
    ? Infinity
    : quotient(quota, read(join(folder, "cpu.cfs_period_us")) ?? "");
}

function quotient(quota: string, period: string | undefined): number {
  const processors = Number(quota) / Number(period);
  return processors > 0 ? processors : Infinity;
}
