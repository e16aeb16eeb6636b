// The first call of a process loads libtorch: with the event loop free, with bounded waiting, and with the threads granted.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { grantedThreads } from "../../lib/threads";
import { longestHold } from "../data/event-loop";

interface Loaded {
  readonly held: number;
  readonly threads: number;
  readonly spins: string | null;
}

function load(environment: NodeJS.ProcessEnv): Loaded {
  const own = Object.entries(process.env).filter(([name]) => !/^(GOMP|OMP|ATTRIBUTION)_/.test(name));
  const program = ["--require", join(__dirname, "typescript.cjs"), join(__dirname, "loading.ts")];
  const { stdout, stderr } = spawnSync(process.execPath, program, {
    encoding: "utf8",
    env: { ...Object.fromEntries(own), ...environment },
  });
  expect(stderr).toBe("");
  return JSON.parse(stdout) as Loaded;
}

test("loading the addon leaves the event loop free", () => {
  const holds: number[] = [];
  while (holds.length < 5 && !holds.some((held) => held < longestHold)) holds.push(load({}).held);
  expect(Math.min(...holds)).toBeLessThan(longestHold);
});

test("waiting is bounded before libgomp reads how, and no more threads are taken than granted", () => {
  const { spins, threads } = load({});
  expect(Number(spins)).toBeGreaterThan(0);
  expect(threads).toBeLessThanOrEqual(grantedThreads());
});

test("what the user sets stays", () => {
  expect(load({ OMP_WAIT_POLICY: "active", ATTRIBUTION_THREADS: "3" })).toMatchObject({ spins: null, threads: 3 });
});
