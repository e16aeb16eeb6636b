// Peak resident memory of one call above the loaded model, measured by a program in a process of its own. What is asserted of it is
// one thing for all methods.
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const megabyte = 2 ** 20;
/** DESIGN: at most the budget and a tenth. */
const allowance = 1.1;
/** What libtorch keeps of its own: a compiled kernel for every shape it meets first, 0.1–0.2 MB each; 230 MB were the most measured. */
const kernels = 300 * megabyte;

/** Asserts that `program` WORK BUDGET keeps the budget in MB; its first call may compile kernels beside. */
export function expectWithinBudget(program: string, work: string, budget: number): void {
  const loader = join(__dirname, "typescript.cjs");
  const words = ["--expose-gc", "--require", loader, program, work, `${budget} MB`];
  const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: "utf8", timeout: 280_000 });
  const { first, second } = JSON.parse(stdout === "" ? `"${stderr}"` : stdout) as { first: number; second: number };
  expect(second).toBeLessThan(allowance * budget * megabyte);
  expect(first).toBeLessThan(allowance * budget * megabyte + kernels);
}
