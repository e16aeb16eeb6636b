// SmolLM2-135M-Instruct as it is published: ids, logits and known facts, compared with transformers on the same GGUF file; and
// what loading it takes. `node dist/lib/cli/full-size/smollm2.js` runs it alone.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import type { Model } from "../../../types/model";
import { createInstances, noTarget } from "../../data/instances";
import { readJsonObjects } from "../../data/read-json";
import { AttributionError } from "../../errors";
import { evaluate } from "../../model/evaluate";
import { loadModel } from "../../model/load-model";
import { libtorchVersion } from "../../native";
import { fileExists } from "../../storage/files";
import { readTensors } from "../../storage/tensors";
import { fetchSmolLM2 } from "../../study/smollm2";
import { textTable } from "../table";

/** One line of the check: what was looked at, what came out, what was wanted. */
export interface Finding {
  readonly what: string;
  readonly found: string;
  readonly wanted: string;
  readonly isRight: boolean;
}

export interface CheckOptions {
  /** A Python with torch, transformers and gguf. @default $ATTRIBUTION_PYTHON, else python3 */
  readonly python?: string;
  /** Where test/ is, and ../shared/data with the facts. @default the repository of this file */
  readonly repository?: string;
}

const logitTolerance = 1e-4; // DESIGN §5
const facts = 400;

/** Fetches the model where it is not there yet, and checks it. */
export async function checkSmolLM2({
  python = process.env["ATTRIBUTION_PYTHON"] ?? "python3",
  repository = resolve(__dirname, "..", "..", "..", ".."),
}: CheckOptions = {}): Promise<readonly Finding[]> {
  const path = await fetchSmolLM2();
  libtorchVersion(); // the addon is loaded before anything is measured
  const before = process.memoryUsage.rss();
  const { model: loaded, seconds, held } = await quickestLoad(path);
  using model = loaded;
  return [
    measured("loading, the best of 3", `${seconds.toFixed(2)} s, holds the event loop for ${held.toFixed(0)} ms`),
    measured(
      "memory, loaded",
      `${megabytes(process.memoryUsage.rss() - before)} more, at most ${megabytes(process.resourceUsage().maxRSS * 1024)}; weights ${megabytes(4 * model.parameters)}`,
    ),
    ...(await againstTransformers(model, path, python, repository)),
    await knownFacts(model, repository),
    await speed(model),
  ];
}

async function quickestLoad(path: string): Promise<{ model: Model; seconds: number; held: number }> {
  let [seconds, held, model]: [number, number, Model | undefined] = [Infinity, Infinity, undefined];
  for (let time = 0; time < 3; time++) {
    model?.close();
    const [watch, started] = [watchLoop(), performance.now()];
    model = await loadModel(path);
    [seconds, held] = [Math.min(seconds, (performance.now() - started) / 1000), Math.min(held, watch.longest())];
  }
  return { model: model!, seconds, held };
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
const measured = (what: string, found: string): Finding => ({ what, found, wanted: "", isRight: true });

async function againstTransformers(model: Model, path: string, python: string, repository: string): Promise<Finding[]> {
  const work = await mkdtemp(join(tmpdir(), "attribution-smollm2-"));
  try {
    const target = join(work, "golden.safetensors");
    await promisify(execFile)(python, [join(repository, "test", "full-size", "smollm2.py"), path, target]).catch(
      (cause: unknown) => {
        throw new AttributionError(
          "missing",
          `${python} could not run transformers on ${path}: ${(cause as Error).message.trim().split("\n").at(-1)}`,
          { cause },
        );
      },
    );
    const { tensors, metadata } = await readTensors(target);
    const texts = JSON.parse(metadata["texts"]) as string[];
    const offsets = tensors["rowOffsets"].data;
    const rows = texts.map((_, row) => Int32Array.from(tensors["tokens"].data.slice(offsets[row], offsets[row + 1])));
    const same = (await model.tokenizer.encode(texts)).filter((ids, i) => ids.join() === rows[i].join()).length;
    const prefixes = rows[Number(metadata["shortest"])].map((_, i) => i + 1);
    const shortest = Array.from(prefixes, (length) => rows[Number(metadata["shortest"])].slice(0, length));
    return [
      {
        what: "texts with the tokenizers package's ids",
        found: `${same} of ${texts.length}`,
        wanted: "all",
        isRight: same === texts.length,
      },
      await compareLogits("logits after each text", model, rows, tensors["lastLogits"].data as Float32Array),
      await compareLogits("logits along one text", model, shortest, tensors["shortestLogits"].data as Float32Array),
    ];
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function compareLogits(
  what: string,
  model: Model,
  rows: readonly Int32Array[],
  wanted: Float32Array,
): Promise<Finding> {
  const { logits } = await evaluate(model, createInstances({ kind: "causalLM", rows }), { logits: true });
  const width = model.architecture.vocabulary;
  let [most, agreeing] = [0, 0];
  rows.forEach((_, row) => {
    const [ours, theirs] = [
      logits!.subarray(row * width, (row + 1) * width),
      wanted.subarray(row * width, (row + 1) * width),
    ];
    const largest = theirs.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    most = Math.max(most, ours.reduce((a, b, i) => Math.max(a, Math.abs(b - theirs[i])), 0) / largest);
    if (largestAt(ours) === largestAt(theirs)) agreeing++;
  });
  const isRight = most < logitTolerance && agreeing === rows.length;
  return {
    what,
    found: `differ by ${most.toExponential(1)}, same first in ${agreeing} of ${rows.length}`,
    wanted: `< ${logitTolerance}, all`,
    isRight,
  };
}

const largestAt = (values: Float32Array): number =>
  values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

/** How many of the first facts it completes right: the next token is the first one of the answer. */
async function knownFacts(model: Model, repository: string): Promise<Finding> {
  const what = `of ${facts} known facts completed right`;
  const path = resolve(repository, "..", "shared", "data", "facts", "known_1000.json");
  if (!(await fileExists(path))) return measured(what, `skipped, for want of ${path}`);
  const [prompts, answers]: [string[], string[]] = [[], []];
  for await (const { value } of readJsonObjects(path)) {
    if (prompts.push(String(value["prompt"])) === facts + 1) break;
    answers.push(` ${String(value["attribute"])}`);
  }
  const rows = await model.tokenizer.encode(prompts.slice(0, facts));
  const labels = (await model.tokenizer.encode(answers)).map((ids) => ids[0]);
  const { accuracy } = await evaluate(
    model,
    createInstances({ kind: "causalLM", rows, labels, targets: rows.map(unasked) }),
  );
  return {
    what,
    found: `${(100 * accuracy).toFixed(1)} %`,
    wanted: "20–26 %",
    isRight: accuracy > 0.2 && accuracy < 0.26,
  };
}

/** Targets that ask for nothing: the next token is read from the last position all the same. */
const unasked = (row: ArrayLike<number>): Int32Array => new Int32Array(row.length).fill(noTarget);

async function speed(model: Model): Promise<Finding> {
  const [count, length] = [2, 512];
  const rows = Array.from({ length: count }, (_, row) =>
    Int32Array.from({ length }, (_, i) => 100 + ((row * 7919 + i * 104_729) % 40_000)),
  );
  const instances = createInstances({ kind: "causalLM", rows, targets: rows.map(unasked) });
  const started = performance.now();
  await evaluate(model, instances);
  return measured(
    "forward",
    `${Math.round((count * length * 1000) / (performance.now() - started))} tokens/s in ${count} texts of ${length}`,
  );
}

/** The longest time between two turns of the event loop since it was called. */
function watchLoop(): { longest(): number } {
  let [last, most, running] = [performance.now(), 0, true];
  const turn = (): void => {
    const now = performance.now();
    [most, last] = [Math.max(most, now - last), now];
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  return {
    longest: () => {
      running = false;
      return most;
    },
  };
}

/** The findings as a table. */
export function findingsTable(findings: readonly Finding[]): string {
  return textTable({
    caption: "SmolLM2-135M-Instruct (Q4_1) against transformers on the same file",
    columns: [{ label: "" }, { label: "found" }, { label: "wanted" }, { label: "" }],
    rows: findings.map(({ what, found, wanted, isRight }) => [what, found, wanted, isRight ? "✓" : "✗"]),
  });
}

if (require.main === module) {
  void checkSmolLM2().then((findings) => {
    console.log(findingsTable(findings));
    process.exitCode = findings.every(({ isRight }) => isRight) ? 0 : 1;
  });
}
