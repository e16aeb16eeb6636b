#!/usr/bin/env node
// The set-up: makes an addon that loads, against the chosen libtorch, with the least work. It takes under a second when nothing is left to do.
// `npm install` runs it in a clone. In another project the user runs `npx attribution setup`.
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { buildAddon, putAddon } from "./build.mjs";
import { findLibtorch } from "./libtorch.mjs";
import {
  addonFile,
  cmakeFolder,
  isDependency,
  prebuildFolder,
  releaseFolder,
  root,
  setupCommand,
  stampName,
} from "./paths.mjs";
import { run } from "./run.mjs";
import { SetupError, main, say } from "./say.mjs";
import { hashOfSources, readStamp } from "./sources.mjs";

await main(async () => {
  const libtorch = await findLibtorch();
  const sources = hashOfSources();
  const stamp = readStamp(join(releaseFolder, stampName));
  if (
    existsSync(addonFile) &&
    stamp?.sources === sources &&
    stamp.libtorch === libtorch.folder &&
    stamp.version === libtorch.version
  ) {
    say(`the addon is up to date (${stamp.how}, libtorch ${libtorch.version}: ${libtorch.from})`);
    return;
  }
  say(`libtorch ${libtorch.version}: ${libtorch.from}, ${libtorch.folder}`);
  if (await tookPrebuild(libtorch, sources)) return;
  await buildAddon(libtorch);
  if (isDependency) await rm(cmakeFolder, { recursive: true, force: true }); // 400 MB that only a next compilation would use
  const reason = await failureToLoad(addonFile);
  if (reason)
    throw new SetupError(
      "The addon was compiled but does not load.",
      [
        `Remove ${root}/build and run ${setupCommand} again`,
        `Choose another libtorch: LIBTORCH=/path/to/libtorch ${setupCommand}`,
      ],
      reason,
    );
});

/** A prebuilt addon is taken where it is of these sources and of this libtorch, and loads. */
async function tookPrebuild(libtorch, sources) {
  const file = prebuild();
  const made = file && readStamp(join(prebuildFolder, stampName));
  if (!made) return false;
  if (made.sources !== sources || made.version !== libtorch.version) {
    say(
      `the prebuilt addon is of ${made.sources === sources ? `libtorch ${made.version}` : "other sources"}: compiling`,
    );
    return false;
  }
  await putAddon(file, libtorch, { sources, how: "prebuilt" });
  const reason = await failureToLoad(addonFile);
  if (!reason) {
    say("took the prebuilt addon");
    return true;
  }
  say(`the prebuilt addon does not load here (${reason.split("\n")[0]}): compiling`);
  return false;
}

/** node-gyp-build's choice among prebuilds/ (platform, architecture, libc). */
function prebuild() {
  process.env.PREBUILDS_ONLY = "1";
  try {
    return createRequire(import.meta.url)("node-gyp-build").resolve(root);
  } catch {
    return undefined;
  }
}

/** In a process of its own, as a libtorch that does not fit may end it. */
async function failureToLoad(file) {
  const answer = await run(process.execPath, ["-e", "require(process.argv[1])", file]);
  return answer.code === 0
    ? undefined
    : (/^.*Error: .*$/m.exec(answer.output)?.[0] ?? (answer.output.trim() || `exit code ${answer.code}`));
}
