// `npm run prebuild`: prebuilds/<platform>-<arch>/ by prebuildify, which calls binding.gyp, which calls build.mjs.
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { findLibtorch } from "./libtorch.mjs";
import { prebuildFolder, root, stampName } from "./paths.mjs";
import { run } from "./run.mjs";
import { SetupError, main, say } from "./say.mjs";
import { hashOfSources } from "./sources.mjs";

await main(async () => {
  const libtorch = await findLibtorch();
  const sources = hashOfSources();
  await rm(prebuildFolder, { recursive: true, force: true });
  const prebuildify = join(dirname(createRequire(import.meta.url).resolve("prebuildify/package.json")), "bin.js");
  const target = process.versions.node;
  const answer = await run(
    process.execPath,
    [prebuildify, "--napi", "--strip", "--tag-libc", "--target", `node@${target}`],
    {
      show: "all",
      cwd: root,
      env: { ...process.env, ATTRIBUTION_RELOCATABLE: "1", ...nodeHeaders() },
    },
  );
  if (answer.code !== 0) throw new SetupError("prebuildify failed (see above).");
  await writeFile(
    join(prebuildFolder, stampName),
    `${JSON.stringify({ sources, version: libtorch.version }, null, 2)}\n`,
  );
  say(`wrote ${relative(root, prebuildFolder)}/`);
  // node-gyp emptied build/.
  await run(process.execPath, [join(root, "native", "setup", "install.mjs")], { show: "all" });
});

/** node-gyp wants Node's headers though nothing here needs them: those beside `node`, where it has them, save a download. */
function nodeHeaders() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, "include", "node", "node.h")) ||
    existsSync(join(prefix, "include", "node", "common.gypi"))
    ? { npm_config_nodedir: prefix }
    : {};
}
