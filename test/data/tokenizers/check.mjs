// npm run check:tokenizers: holds every component, and whole tokenizers, against the Rust tokenizers on random texts.
//   --strings 100000   texts for each component (default)      --seed 1      --only NAME   components whose name has this
//   --python PATH      a Python with the package `tokenizers`; without it, one is made in node_modules/.cache
//   DIRECTORY …        further tokenizers: folders with a tokenizer.json
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..", "..");
const require = createRequire(import.meta.url);
const { define, readDefinition } = require(join(root, "dist/lib/data/tokenizers/definition.js"));
const { pipelineOf } = require(join(root, "dist/lib/data/tokenizers/pipeline.js"));
const { surroundOf } = require(join(root, "dist/lib/data/tokenizers/post-processors.js"));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    strings: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    python: { type: "string" },
  },
});

function pythonWithTokenizers() {
  const made = join(root, "node_modules/.cache/tokenizers-python");
  const tries = [values.python, process.env["PYTHON"], join(made, "bin/python"), "python3"].filter(Boolean);
  const found = tries.find((path) => spawnSync(path, ["-c", "import tokenizers"]).status === 0);
  if (found !== undefined) return found;
  console.error(`Making a Python with the package tokenizers in ${made}`);
  const steps = [
    ["python3", ["-m", "venv", made]],
    [join(made, "bin/pip"), ["install", "--quiet", "tokenizers==0.23.3"]],
  ];
  for (const [command, options] of steps) {
    if (spawnSync(command, options, { stdio: "inherit" }).status !== 0)
      throw new Error(`${command} ${options.join(" ")} failed`);
  }
  return join(made, "bin/python");
}

function open(line) {
  const definition =
    line.directory === undefined ? define(line.json, {}) : readDefinition({ directory: line.directory });
  return { pipeline: pipelineOf({ ...definition, config: {} }), around: surroundOf(definition.json.post_processor) };
}

const tried = (call) => {
  try {
    return call();
  } catch {
    return null;
  }
};
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
let [cases, texts, differences, refusals] = [0, 0, 0, 0];
let current;

function report(what, ours, rust) {
  differences++;
  if ((current.shown = (current.shown ?? 0) + 1) <= 5)
    console.log(
      `  ${JSON.stringify(what)}\n    here ${JSON.stringify(ours)?.slice(0, 300)}\n    Rust ${JSON.stringify(rust)?.slice(0, 300)}`,
    );
}

function compare(line) {
  if (current.pipeline === undefined) return;
  line.texts.forEach((text, index) => {
    texts++;
    const ours = tried(() => current.pipeline.encode(text));
    if (!same(ours, line.ids[index])) report(text, ours, line.ids[index]);
  });
  line.draws.forEach((ids, index) => {
    const ours = tried(() => current.pipeline.decode(ids));
    if (!same(ours, line.decoded[index])) report(ids, ours, line.decoded[index]);
  });
  if (line.around === null) return;
  const [empty, , plain] = line.around;
  const { start, end } = current.around;
  if (!same([...start, ...end], empty) || !same([...start, ...plain, ...end], line.around[1]))
    report("around", [start, end], line.around);
}

const python = pythonWithTokenizers();
const folders = ["gpt2", "opt", "gpt-neox-20b"]
  .map((name) => join(root, "../shared/data/tokenizers", name))
  .filter(existsSync);
const child = spawn(
  python,
  [
    join(here, "rust-cases.py"),
    "--strings",
    values.strings,
    "--seed",
    values.seed,
    "--only",
    values.only,
    ...(values.only === "" ? folders : []),
    ...positionals,
  ],
  { stdio: ["ignore", "pipe", "ignore"] },
);
const ended = new Promise((resolve) => child.on("exit", resolve));
for await (const text of createInterface({ input: child.stdout, crlfDelay: Infinity })) {
  const line = JSON.parse(text);
  if (line.case === undefined) {
    compare(line);
    continue;
  }
  cases++;
  current = { name: line.case };
  console.log(line.case);
  try {
    Object.assign(current, open(line));
  } catch (error) {
    refusals++;
    console.log(`  refused: ${error.message}`);
  }
}
const status = await ended;
console.log(`${cases} tokenizers, ${texts} texts: ${differences} differences, ${refusals} refused at load`);
process.exitCode = status === 0 && differences === 0 ? 0 : 1;
