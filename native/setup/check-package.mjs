// `npm run check:package`: the package as `npm pack` makes it, installed into an empty project, imported and run there.
// Takes a prebuilt addon where `npm run prebuild` has written one, else compiles. LIBTORCH saves bringing it once more.
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findLibtorch } from "./libtorch.mjs";
import { root } from "./paths.mjs";
import { run } from "./run.mjs";
import { SetupError, main, say } from "./say.mjs";

const use = `
const config = { model_type: "gpt2", vocab_size: 11, n_positions: 8, n_embd: 8, n_layer: 1, n_head: 2 };
const model = await attribution.createModel(config, { seed: 1 });
console.log("libtorch runs:", Object.keys(attribution).length, "exports, a", model.config.model_type, "model with", model.hash.length, "characters of hash");
model.close();
`;
const programs = {
  "import.mjs": `import * as attribution from "attribution";\nimport { createModel } from "attribution";\nif (typeof createModel !== "function") throw new Error("no createModel");\n${use}`,
  "require.cjs": `const attribution = require("attribution");\n(async () => {${use}})();\n`,
  "types.ts": `import { createModel, type Model } from "attribution";\nexport async function make(): Promise<Model> {\n  return createModel({ model_type: "gpt2" });\n}\n`,
};

await main(async () => {
  const project = await mkdtemp(join(tmpdir(), "attribution-package-"));
  try {
    await step("npm pack", "npm", ["pack", "--silent", "--pack-destination", project], root);
    const tarball = (await readdir(project)).find((name) => name.endsWith(".tgz"));
    if (!tarball) throw new SetupError("npm pack made no tarball.");
    await writeFile(
      join(project, "package.json"),
      JSON.stringify({ name: "empty", private: true, allowScripts: { [`file:${join(project, tarball)}`]: true } }),
    );
    for (const [name, text] of Object.entries(programs)) await writeFile(join(project, name), text);
    const env = { ...process.env, LIBTORCH: (await findLibtorch()).folder };
    await step(
      `npm install ${tarball}`,
      "npm",
      ["install", "--no-audit", "--no-fund", "--foreground-scripts", `./${tarball}`],
      project,
      env,
    );
    delete env.LIBTORCH;
    await step("ESM", process.execPath, ["import.mjs"], project, env);
    await step("CommonJS", process.execPath, ["require.cjs"], project, env);
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    await step(
      "types",
      process.execPath,
      [
        tsc,
        "--noEmit",
        "--strict",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--lib",
        "es2022,dom,esnext.disposable",
        "types.ts",
      ],
      project,
      env,
    );
    say("the package works");
  } finally {
    await rm(project, { recursive: true, force: true });
  }
});

async function step(name, program, args, cwd, env) {
  say(name);
  const answer = await run(program, args, { show: "all", cwd, env });
  if (answer.code !== 0) throw new SetupError(`${name} failed (see above).`);
}
