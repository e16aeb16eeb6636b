// Where the real files lie, beside the repository, and how a test that needs them is skipped with a reason where they do not.
import { existsSync } from "node:fs";
import { join } from "node:path";

export const sharedData = join(__dirname, "..", "..", "..", "shared", "data");

/** `test`, or a skipped test that says why. */
export function testOnRealFiles(name: string, files: readonly string[], run: () => Promise<void>): void {
  const missing = files.find((file) => !existsSync(join(sharedData, file)));
  if (missing === undefined) {
    test(name, run);
    return;
  }
  process.stderr.write(`skipped: "${name}", for want of ../shared/data/${missing}\n`);
  test.skip(name, run);
}
