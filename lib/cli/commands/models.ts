// `attribution models DIR`: what a folder, a GGUF file or a hub id holds, and what the methods would take of memory.
import { freemem } from "node:os";
import type { Command } from "commander";
import type { Model } from "../../../types/model";
import { createInstances, noTarget } from "../../data/instances";
import { estimateNeuronMemory } from "../../neuron/memory";
import { formatNumber } from "../../report/format";
import type { Context } from "../context";
import { examplesText } from "../examples-text";
import { addFlags, type Values } from "../flags";
import { openModel } from "../inputs";

export function modelsCommand(program: Command, context: () => Context): void {
  const command = program
    .command("models")
    .description("what a model is: family, sizes, head, tokenizer, and the memory that each method would take")
    .argument("<model>", "a folder, a GGUF file or a hub id")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      examplesText([
        "attribution models models/opt-125m",
        "what is in the folder; what is unsupported is refused by name",
      ]),
    );
  addFlags(command, ["loadModel"]);
  command.action((source: string, values: Values) => run(context(), source, values));
}

async function run(context: Context, source: string, values: Values): Promise<void> {
  using model = await openModel(context, source, values);
  const facts = factsOf(model);
  const memory = memoryOf(model);
  if (values["json"] === true)
    return context.terminal.json({
      source,
      ...Object.fromEntries(facts),
      architecture: model.architecture,
      memory: Object.fromEntries(memory),
    });
  context.terminal.table({
    caption: source,
    columns: [{ label: "What" }, { label: "Value" }],
    rows: facts.map(([name, value]) => [name, value]),
  });
  context.terminal.say("");
  context.terminal.table({
    caption: "Memory",
    columns: [{ label: "Work" }, { label: "MB", digits: 0 }],
    rows: memory.map(([name, bytes]) => [name, bytes / 1e6]),
    notes: [`Free now: ${formatNumber(Math.round(freemem() / 1e6))} MB. One prompt of ${longest(model)} tokens.`],
  });
}

function factsOf(model: Model): (readonly [string, string])[] {
  const { family, layers, hidden, heads, keyValueHeads, intermediate, gated, positions, vocabulary, head, mixture } =
    model.architecture;
  return [
    ["Family", family],
    ["Parameters", formatNumber(model.parameters)],
    ["Layers", `${layers} of ${hidden} features`],
    ["Heads", `${layers} × ${heads}${keyValueHeads === heads ? "" : ` (${keyValueHeads} key-value heads)`}`],
    ["Neurons", `${layers} × ${intermediate}${gated ? ", gated" : ""}`],
    ...(mixture === undefined
      ? []
      : [["Experts", `${mixture.experts} of ${mixture.width} neurons, ${mixture.chosen} for each token`] as const]),
    ["Positions", positions > 0 ? String(positions) : "any number"],
    ["Head", head.kind === "classification" ? `classification: ${model.labels.join(", ")}` : head.kind],
    ["Computes in", model.dtype],
    ["Tokenizer", `${model.tokenizer.size} ids of ${vocabulary} rows`],
    ["Fingerprint", model.hash.slice(0, 12)],
  ];
}

function longest({ architecture: { positions } }: Model): number {
  return Math.max(1, Math.min(positions > 0 ? positions : 512, 512));
}

/** Bytes beside each other: weights, and on top what the work takes. */
function memoryOf(model: Model): (readonly [string, number])[] {
  const bytes = { float32: 4, float64: 8, bfloat16: 2 }[model.dtype];
  const weights = model.parameters * bytes;
  const { kind } = model.architecture.head;
  const row = new Int32Array(longest(model));
  const known = kind === "maskedLM" ? { targets: [row.slice().fill(noTarget, 1)] } : { labels: [0] };
  const instances = createInstances({ kind, rows: [row], ...known, ...(kind === "choice" ? { groups: [1] } : {}) });
  const neurons = (work: "scores" | "changes" | "forwards") => estimateNeuronMemory(model, instances, { work }).least;
  return [
    ["Weights", weights],
    ["Fine-tuning: weights, gradients, two moments", 4 * weights],
    ["Neuron scores, at least, beside the weights", neurons("scores")],
    ["Ablation and faithfulness tests, at least", neurons("changes")],
    ["Conductance, whole forwards, at least", neurons("forwards")],
  ];
}
