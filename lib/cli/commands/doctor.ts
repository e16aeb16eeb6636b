// `attribution doctor`: what the library found on this machine, and a short test of it against stored numbers.
import { readFile } from "node:fs/promises";
import { availableParallelism, freemem, totalmem } from "node:os";
import type { Command } from "commander";
import { createInstances } from "../../data/instances";
import { createTokenizer } from "../../data/tokenizer";
import { AttributionError } from "../../errors";
import { createModel } from "../../model/create-model";
import { evaluate } from "../../model/evaluate";
import { integratedGradients } from "../../neuron/integrated-gradients";
import { native } from "../../native";
import { libraryVersion } from "../../provenance";
import { waitingOf } from "../../threads";
import type { Context } from "../context";
import { examplesText } from "../examples-text";

interface Check {
  readonly what: string;
  readonly found: string;
  readonly isRight: boolean;
}

export function doctorCommand(program: Command, context: () => Context): void {
  program
    .command("doctor")
    .description("what was found on this machine, and a 2-second test of it")
    .option("--json", "as JSON")
    .addHelpText("after", examplesText(["attribution doctor", "exit code 1 where something is wrong"]))
    .action((values: { json?: boolean }) => run(context(), values.json === true));
}

async function run(context: Context, asJson: boolean): Promise<void> {
  const facts = await factsOf();
  const checks = await context.step("Testing", () => selfTest());
  const wrong = checks.filter(({ isRight }) => !isRight);
  if (asJson) context.terminal.json({ facts: Object.fromEntries(facts), checks });
  else {
    context.terminal.table({
      caption: "This machine",
      columns: [{ label: "What" }, { label: "Found" }],
      rows: facts.map(([what, found]) => [what, found]),
    });
    context.terminal.say("");
    context.terminal.table({
      caption: "Self-test",
      columns: [{ label: "Check" }, { label: "Result" }, { label: "Found" }],
      rows: checks.map(({ what, found, isRight }) => [what, isRight ? "✓ right" : "✗ wrong", found]),
    });
  }
  if (wrong.length > 0)
    throw new AttributionError("native", `The self-test failed: ${wrong.map(({ what }) => what).join("; ")}`);
}

async function factsOf(): Promise<(readonly [string, string])[]> {
  const { libtorch, compiledWith, cuda, threads } = native().versions();
  return [
    ["attribution", libraryVersion()],
    ["Node", process.versions.node],
    ["libtorch", `${libtorch} (built for ${compiledWith})${cuda ? ", with CUDA" : ""}`],
    ["libtorch's folder", (await libtorchFolder()) ?? "not known"],
    ["Threads", `${threads} of ${availableParallelism()} cores; without work they ${waitingOf()}`],
    ["Vector instructions", await vectorInstructions()],
    ["Memory", `${gigabytes(freemem())} free of ${gigabytes(totalmem())}`],
  ];
}

/** The folder that the loaded library was mapped from (Linux). */
async function libtorchFolder(): Promise<string | undefined> {
  const maps = await readFile("/proc/self/maps", "utf8").catch(() => "");
  return /(\/\S*)\/libtorch_cpu\.so/.exec(maps)?.[1];
}

async function vectorInstructions(): Promise<string> {
  const flags = new Set(
    (/^flags\s*:(.*)$/m.exec(await readFile("/proc/cpuinfo", "utf8").catch(() => ""))?.[1] ?? "").split(" "),
  );
  const known = ["avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8"].filter((flag) =>
    flags.has(flag),
  );
  return known.length === 0 ? "not known" : known.join(", ");
}

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

const config = {
  model_type: "gpt_neox",
  vocab_size: 32,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 16,
  initializer_range: 0.5,
};
const rows = [
  [3, 14, 15, 9, 26, 5],
  [2, 7, 18, 28],
  [1, 4, 1, 4, 2, 1, 3],
];

/** What the seeded model above gives in float32, and how far another machine's rounding may lie from it. */
const stored = { losses: [27.19265, 17.78479, 32.70515], largestScore: 0.30765 };
const tolerance = 1e-4;

async function selfTest(): Promise<Check[]> {
  const tokenizer = await createTokenizer(
    {
      version: "1.0",
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      model: { type: "WordLevel", vocab: { "<unk>": 0 }, unk_token: "<unk>" },
    },
    {},
  );
  using model = await createModel(config, { tokenizer, seed: 7 });
  const instances = createInstances({ kind: "causalLM", rows, labels: [8, 9, 10] });
  const { losses } = await evaluate(model, instances);
  const { scores, completenessGap } = await integratedGradients(model, instances);
  const alone: number[] = [];
  for (const [at, row] of rows.entries())
    alone.push((await evaluate(model, createInstances({ kind: "causalLM", rows: [row], labels: [8 + at] }))).losses[0]);
  const strongest = scores.reduce((most, score) => Math.max(most, Math.abs(score)), 0);
  const gap = completenessGap.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const isNear = (value: number, expected: number): boolean =>
    Math.abs(value - expected) <= tolerance * Math.abs(expected);
  return [
    {
      what: "Losses of a seeded model",
      found: Array.from(losses, (loss) => loss.toFixed(5)).join(", "),
      isRight: losses.every((loss, at) => isNear(loss, stored.losses[at])),
    },
    {
      what: "Integrated gradients, largest score",
      found: strongest.toPrecision(6),
      isRight: isNear(strongest, stored.largestScore),
    },
    { what: "Completeness gap below 0.002", found: gap.toExponential(1), isRight: gap < 2e-3 },
    {
      what: "A batch of one gives what a batch of many gives",
      found: alone.every((loss, at) => loss === losses[at]) ? "the same bits" : "the same up to rounding",
      isRight: alone.every((loss, at) => isNear(loss, losses[at])),
    },
  ];
}
