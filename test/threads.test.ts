// What the machine grants, from files as control groups write them.
import { boundWaiting, grantedThreads, processorQuota, waitingOf } from "../lib/threads";

const filesOf = (files: Readonly<Record<string, string>>) => (path: string) => files[path];

describe("the quota of processors", () => {
  test.each<[string, Readonly<Record<string, string>>, number]>([
    ["no control groups", {}, Infinity],
    [
      "version 2 without a limit",
      { "/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "max 100000\n" },
      Infinity,
    ],
    ["version 2", { "/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "150000 100000\n" }, 1.5],
    ["version 2 in a container", { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "400000 100000\n" }, 4],
    [
      "the least of a group and what it lies in",
      {
        "/proc/self/cgroup": "0::/outer/inner:scope\n",
        "/sys/fs/cgroup/outer/cpu.max": "200000 100000",
        "/sys/fs/cgroup/outer/inner:scope/cpu.max": "800000 100000",
      },
      2,
    ],
    [
      "version 1",
      {
        "/proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/docker/y\n",
        "/sys/fs/cgroup/cpu,cpuacct/docker/y/cpu.cfs_quota_us": "250000\n",
        "/sys/fs/cgroup/cpu,cpuacct/docker/y/cpu.cfs_period_us": "100000\n",
      },
      2.5,
    ],
    [
      "version 1 without a limit",
      {
        "/proc/self/cgroup": "3:cpu:/\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
      },
      Infinity,
    ],
    ["what cannot be read", { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "many few\n" }, Infinity],
  ])("of %s", (_name, files, quota) => {
    expect(processorQuota(filesOf(files))).toBe(quota);
  });
});

test.each([
  [8, "250000 100000", 2],
  [2, "400000 100000", 2],
  [16, "max 100000", 16],
  [4, "50000 100000", 1],
])("of %i processors a quota of %s grants %i threads", (processors, quota, threads) => {
  const files = { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": quota };
  expect(grantedThreads(processors, filesOf(files))).toBe(threads);
});

describe("waiting", () => {
  test("is bounded unless the user says how threads wait", () => {
    const [nothing, spins, policy]: NodeJS.ProcessEnv[] = [{}, { GOMP_SPINCOUNT: "7" }, { OMP_WAIT_POLICY: "active" }];
    for (const environment of [nothing, spins, policy]) boundWaiting(environment);
    expect(Number(nothing["GOMP_SPINCOUNT"])).toBeGreaterThan(0);
    expect([spins, policy]).toEqual([{ GOMP_SPINCOUNT: "7" }, { OMP_WAIT_POLICY: "active" }]);
  });

  test.each([
    [{ GOMP_SPINCOUNT: "2000" }, "wait 2000 rounds, then sleep (GOMP_SPINCOUNT)"],
    [{ OMP_WAIT_POLICY: "PASSIVE" }, "sleep at once (OMP_WAIT_POLICY)"],
    [{ OMP_WAIT_POLICY: "active" }, "wait awake (OMP_WAIT_POLICY)"],
  ])("under %j is told in words", (environment, words) => {
    expect(waitingOf(environment)).toBe(words);
  });
});
