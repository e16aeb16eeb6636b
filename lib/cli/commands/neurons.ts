// `attribution neurons MODEL TEXT`: the neurons or heads that a prediction rests on.
import { type Command, Option } from "commander";
import type { NeuronAttribution } from "../../../types/results";
import { save } from "../../results/save";
import { top } from "../../results/top";
import { neuronMethod, type NeuronMethodName, neuronMethodNames } from "../../study/methods";
import { type Context, requireWritable } from "../context";
import { examplesText } from "../examples-text";
import { addFlags, numberOf, optionsFor, refuseStray, type Values } from "../flags";
import { addDataFlags, addModelFlags, openModel, openPrompts } from "../inputs";

export function neuronsCommand(program: Command, context: () => Context): void {
  const command = program
    .command("neurons")
    .description("the neurons or attention heads that a prediction rests on")
    .argument("<model>", "a folder, a GGUF file or a hub id")
    .argument("<text>", "a prompt, fields as JSON, or a file of prompts (.jsonl, .txt)")
    .addOption(
      new Option("--method <name>", "how units are scored").choices(neuronMethodNames).default("integratedGradients"),
    )
    .option("--top <n>", "units shown of each prompt", numberOf, 10)
    .option("--out <folder>", "keep all scores, for `load`")
    .option("--json", "the top units as JSON")
    .addHelpText(
      "after",
      examplesText(
        [
          'attribution neurons models/my-model "The capital of France is"',
          "the ten neurons with the highest integrated gradients",
        ],
        [
          "attribution neurons models/my-model prompts.txt --site heads --method ablation --json",
          "heads by ablation, as JSON",
        ],
      ),
    );
  addFlags(addDataFlags(addModelFlags(command)), neuronMethodNames);
  command.action((model: string, text: string, values: Values) => run(context(), model, text, values));
}

async function run(context: Context, source: string, text: string, values: Values): Promise<void> {
  const name = values["method"] as NeuronMethodName;
  refuseStray(name, neuronMethodNames, values, [
    "dtype",
    "device",
    "head",
    "padToken",
    "seed",
    "labels",
    "fields",
    "targets",
  ]);
  const out = values["out"] as string | undefined;
  const folder = out === undefined ? undefined : await requireWritable(out, "folder");
  using model = await openModel(context, source, values);
  const prompts = await openPrompts(context, model, text, values);
  const result = await context.step(name, (call) =>
    neuronMethod(name)(model, prompts.instances, { ...optionsFor(name, values), ...call }),
  );
  if (folder !== undefined) await save(result, folder);
  const count = values["top"] as number;
  const lists = prompts.instances.texts.map((prompt, row) => ({
    prompt,
    prediction: prompts.predictions[row],
    probability: prompts.probabilities[row],
    units: top(result, row, count),
  }));
  if (values["json"] === true) return context.terminal.json({ method: name, unit: result.unit, prompts: lists });
  for (const { prompt, prediction, probability, units } of lists) {
    context.terminal.table({
      caption: `${prompt} → ${prediction} (${(100 * probability).toFixed(1)} %)`,
      columns: [{ label: "Rank", digits: 0 }, { label: "Unit" }, { label: "Score" }],
      rows: units.map(({ layer, unit, score }, at) => [at + 1, unitName(result, layer, unit), score]),
      notes: [`Score: ${result.unit}.`],
    });
  }
}

/** "layer 3, neuron 17" or "layer 3, head 2". */
export function unitName(
  { site, units }: Pick<NeuronAttribution, "site" | "units">,
  layer: number,
  unit: number,
  neurons = units,
): string {
  const isHead = site === "heads" || (site === "both" && unit >= neurons);
  return `layer ${layer}, ${isHead ? "head" : "neuron"} ${isHead && site === "both" ? unit - neurons : unit}`;
}
