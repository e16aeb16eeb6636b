// The one place that says what tests need beyond the repository. A test whose need is missing is skipped under a name that says what
// would run it. The run prints all such names at its end, and fails where a test is skipped in another way (setup/needs-reporter.cjs).
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { python } from "../benchmarks/reference";

/** Real data sets and small models, beside the repository. */
export const sharedData = join(__dirname, "..", "..", "shared", "data");

/** What a test needs: undefined where it is there, else the words that follow "needs". */
export type Missing = string | undefined;

export function realFiles(...files: readonly string[]): Missing {
  const file = files.find((name) => !existsSync(join(sharedData, name)));
  return file === undefined ? undefined : `the file ../shared/data/${file}`;
}

/** Python packages of the references, in the Python that a variable names, or else in python3. */
export function torch(): Missing {
  const isThere = spawnSync(python(), ["-c", "import torch, transformers"]).status === 0;
  return isThere ? undefined : "torch and transformers in the Python that ATTRIBUTION_PYTHON names";
}

/** Peers that live in environments of their own. */
export function variables(...names: readonly string[]): Missing {
  const name = names.find((one) => process.env[one] === undefined);
  return name === undefined ? undefined : `the variable ${name}`;
}

export function testNeeding(missing: Missing, name: string, run: () => Promise<void>): void {
  if (missing === undefined) test(name, run);
  else test.skip(`${name} (needs ${missing})`, run);
}

export function describeNeeding(missing: Missing, name: string, run: () => void): void {
  if (missing === undefined) describe(name, run);
  else describe.skip(`${name} (needs ${missing})`, run);
}

export function testOnRealFiles(name: string, files: readonly string[], run: () => Promise<void>): void {
  testNeeding(realFiles(...files), name, run);
}
