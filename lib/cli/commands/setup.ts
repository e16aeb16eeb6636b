// `attribution setup`: fetches libtorch and makes the addon that fits it; needed once after the package was installed.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { AttributionError } from "../../errors";
import type { Context } from "../context";
import { examplesText } from "../examples-text";

export function setupCommand(program: Command, context: () => Context): void {
  program
    .command("setup")
    .description("fetch libtorch and make the native addon; needed once after installation")
    .addHelpText("after", examplesText(["attribution setup", "does nothing where all is in place"]))
    .action(() => run(context()));
}

async function run({ signal }: Context): Promise<void> {
  const script = join(packageFolder(__dirname), "native/setup/install.mjs");
  const code = await new Promise<number | null>((resolve, reject) => {
    spawn(process.execPath, [script], { stdio: "inherit", signal }).on("error", reject).on("close", resolve);
  });
  if (code !== 0) throw new AttributionError("native", "The set-up failed; its message above says how to mend it");
}

/** The folder of our package.json, whose depth differs between lib/ and dist/. */
function packageFolder(folder: string): string {
  return existsSync(join(folder, "native/setup/install.mjs")) ? folder : packageFolder(dirname(folder));
}
