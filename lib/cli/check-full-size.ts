// `npm run check:full-size [-- DIRECTORY] [--tokenizers DIRECTORY]`: checkpoints with the real shapes and file formats of the paper's
// three models, made by test/full-size/make.py, against what transformers computes on the same files: logits, losses, a gradient, and
// the memory that loading takes; then SmolLM2 as published (full-size/smollm2.ts). Needs a Python with torch, transformers and gguf
// (ATTRIBUTION_PYTHON, else python3), 5 GB of memory and disk.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { createInstances } from "../data/instances";
import { gradientSimilarity } from "../instance/gradient-similarity";
import { createModel } from "../model/create-model";
import { evaluate } from "../model/evaluate";
import { loadModel } from "../model/load-model";
import { saveModel } from "../model/save-model";
import { readTensors, type Tensor } from "../storage/tensors";
import type { Model } from "../../types/model";
import { checkSmolLM2, findingsTable } from "./full-size/smollm2";
import { progressSteps } from "./progress";
import { textTable } from "./table";

const models = ["opt-125m", "bloom-560m", "pythia-410m"];
/** Largest difference over the largest value. Logits: DESIGN §5. Inner products double the relative error of a gradient. */
const bars = { logits: 1e-4, losses: 1e-4, gradient: 1e-3, memory: 1.15 };

interface Loading {
  readonly seconds: number;
  readonly growth: number;
  readonly weights: number;
}
interface Differences {
  readonly logits: number;
  readonly losses: number;
  readonly gradient: number;
  readonly sameArgmax: boolean;
  readonly seconds: number;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { tokenizers: { type: "string" }, measure: { type: "string" } },
  });
  if (values.measure !== undefined) return void process.stdout.write(JSON.stringify(await measured(values.measure)));
  const directory = resolve(positionals[0] ?? join(tmpdir(), "attribution-full-size"));
  makeCheckpoints(directory, values.tokenizers);
  const rows: (string | number)[][] = [];
  const failures: string[] = [];
  for (const name of models) {
    const { row, failed } = await checked(name, join(directory, name));
    rows.push(row);
    failures.push(...failed);
  }
  const columns = [
    "model",
    "logits",
    "losses",
    "gradient",
    "evaluation",
    "fp16 loading",
    "fp16 memory",
    "fp32 loading",
    "fp32 memory",
  ].map((label, i) => ({
    label,
    ...([4, 5, 7].includes(i) ? { unit: "s" } : [6, 8].includes(i) ? { unit: "× weights" } : {}),
  }));
  process.stdout.write(
    `${textTable({
      caption: `Against transformers, on the same files in ${directory}`,
      columns,
      rows,
      notes: [
        `logits, losses, gradient: largest difference over the largest value; at most ${bars.logits}, ${bars.losses} and ${bars.gradient}`,
        `memory: growth of the process's peak over float32 weights; at most ${bars.memory} for a float32 file. The fp16 files are loaded with their tokenizer, whose vocabulary takes some 75 MB of its own, the float32 copies without`,
      ],
    })}\n`,
  );
  failures.push(...(await smolLM2Failures()));
  for (const failure of failures) process.stderr.write(`FAILED: ${failure}\n`);
  if (failures.length > 0) process.exitCode = 1;
}

/** The published SmolLM2 beside the paper's shapes: prints its own table. */
async function smolLM2Failures(): Promise<string[]> {
  const findings = await checkSmolLM2();
  process.stdout.write(`${findingsTable(findings)}\n`);
  return findings
    .filter(({ isRight }) => !isRight)
    .map(({ what, found, wanted }) => `SmolLM2: ${what}: ${found}, wanted ${wanted}`);
}

function makeCheckpoints(directory: string, tokenizers: string | undefined): void {
  const python = process.env["ATTRIBUTION_PYTHON"] ?? "python3";
  const probe = spawnSync(python, ["-c", "import torch, transformers, safetensors, numpy"], { encoding: "utf8" });
  if (probe.status !== 0) {
    const reason = probe.error?.message ?? probe.stderr.trim().split("\n").at(-1);
    throw new Error(
      `${python} cannot import torch, transformers, safetensors and numpy (${reason}). Name a Python that can: ATTRIBUTION_PYTHON=/path/to/python npm run check:full-size`,
    );
  }
  const script = resolve(__dirname, "..", "..", "..", "test", "full-size", "make.py");
  if (!existsSync(script)) throw new Error(`There is no ${script}: the check runs in a clone of the repository`);
  const made = spawnSync(
    python,
    [script, directory, ...(tokenizers === undefined ? [] : ["--tokenizers", tokenizers])],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  if (made.status !== 0) throw new Error(`${script} failed (see above)`);
}

async function checked(name: string, path: string): Promise<{ row: (string | number)[]; failed: string[] }> {
  const step = progressSteps()(name);
  const copy = `${path}-float32`;
  rmSync(copy, { recursive: true, force: true });
  try {
    const differences = await compared(path, copy);
    const [half, single] = [inChild(path), inChild(copy)];
    const failed = (["logits", "losses", "gradient"] as const)
      .filter((what) => !(differences[what] <= bars[what]))
      .map((what) => `${name}: ${what} differ by ${differences[what]}, more than ${bars[what]}`);
    if (!differences.sameArgmax) failed.push(`${name}: another token has the largest logit`);
    if (!(single.growth <= bars.memory * single.weights))
      failed.push(`${name}: loading float32 takes ${ratio(single)} of the weights, more than ${bars.memory}`);
    step.done(failed.length === 0 ? "equal" : `${failed.length} failed`);
    const short = (value: number): string => value.toExponential(1);
    const { logits, losses, gradient, seconds } = differences;
    return {
      failed,
      row: [
        name,
        short(logits),
        short(losses),
        short(gradient),
        seconds,
        half.seconds,
        ratio(half),
        single.seconds,
        ratio(single),
      ],
    };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

const ratio = ({ growth, weights }: Loading): number => Math.round((growth / weights) * 1000) / 1000;

/** Our numbers against the golden ones; leaves a float32 copy of the checkpoint, without the tokenizer. */
async function compared(path: string, copy: string): Promise<Differences> {
  const { tensors, metadata } = await readTensors(join(path, "golden.safetensors"));
  const model = await loadModel(path);
  try {
    const started = performance.now();
    const differences = await differencesOf(model, tensors, metadata["module"]);
    const seconds = (performance.now() - started) / 1000;
    await saveModel(model, copy, { dtype: "float32" });
    for (const file of readdirSync(copy))
      if (file !== "config.json" && file !== "model.safetensors") rmSync(join(copy, file));
    return { ...differences, seconds };
  } finally {
    model.close();
  }
}

async function differencesOf(
  model: Model,
  golden: Readonly<Record<string, Tensor>>,
  module: string,
): Promise<Omit<Differences, "seconds">> {
  const [tokens, offsets] = [golden["tokens"].data, golden["rowOffsets"].data];
  const rows = Array.from({ length: offsets.length - 1 }, (_, row) => tokens.slice(offsets[row], offsets[row + 1]));
  const whole = createInstances({ kind: "causalLM", rows });
  // The beginnings of the shortest row: their readout is every position of it.
  const shortest = rows[golden["shortestRow"].data[0]];
  const beginnings = createInstances({
    kind: "causalLM",
    rows: Array.from(shortest, (_, end) => shortest.slice(0, end + 1)),
  });
  const { logits: last, losses } = await evaluate(model, whole, { logits: true });
  const { logits: all } = await evaluate(model, beginnings, { logits: true });
  const { scores } = await gradientSimilarity(model, whole, whole, { parameters: [module] });
  const vocabulary = model.architecture.vocabulary;
  const pairs = [
    [last, golden["lastLogits"].data],
    [all, golden["shortestLogits"].data],
  ] as const;
  return {
    logits: Math.max(...pairs.map(([ours, theirs]) => difference(ours ?? [], theirs))),
    sameArgmax: pairs.every(
      ([ours, theirs]) => String(largest(ours ?? [], vocabulary)) === String(largest(theirs, vocabulary)),
    ),
    losses: difference(losses, golden["losses"].data),
    gradient: difference(scores, golden["moduleDots"].data),
  };
}

/** NaN where the lengths differ or a value is none, which no bar lets pass. */
function difference(ours: ArrayLike<number>, theirs: ArrayLike<number>): number {
  let [most, scale] = [0, 0];
  for (let i = 0; i < theirs.length; i++) {
    const apart = Math.abs(ours[i] - theirs[i]);
    if (!(apart <= most)) most = apart;
    scale = Math.max(scale, Math.abs(theirs[i]));
  }
  return ours.length === theirs.length ? most / scale : NaN;
}

/** Index of each row's largest value. */
function largest(values: ArrayLike<number>, width: number): number[] {
  return Array.from({ length: values.length / width }, (_, row) => {
    let best = 0;
    for (let i = 1; i < width; i++) if (values[row * width + i] > values[row * width + best]) best = i;
    return best;
  });
}

/** Loads a checkpoint in a process of its own, so that nothing else is in its memory. */
function inChild(path: string): Loading {
  const child = spawnSync(process.execPath, [__filename, "--measure", path], { encoding: "utf8" });
  if (child.status !== 0)
    throw new Error(`Loading ${path} in a process of its own failed: ${child.stderr.trim() || child.signal}`);
  return JSON.parse(child.stdout) as Loading;
}

async function measured(path: string): Promise<Loading> {
  // libtorch, its threads and the native thread are there before: they are not the model's.
  (
    await createModel({ model_type: "gpt2", vocab_size: 100, n_embd: 8, n_layer: 1, n_head: 1, n_positions: 8 })
  ).close();
  writeFileSync("/proc/self/clear_refs", "5"); // the peak starts again from here
  const before = kilobytes("VmRSS");
  const started = performance.now();
  const model = await loadModel(path);
  const seconds = (performance.now() - started) / 1000;
  const growth = (kilobytes("VmHWM") - before) * 1024;
  const weights = model.parameters * 4;
  model.close();
  return { seconds, growth, weights };
}

function kilobytes(name: "VmRSS" | "VmHWM"): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
}

main().catch((error: unknown) => {
  process.stderr.write(`check:full-size: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
