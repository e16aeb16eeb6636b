// `attribution evaluate MODEL DATA`: predictions, accuracy and loss on a data set.
import type { Command } from "commander";
import { evaluate } from "../../model/evaluate";
import type { Context } from "../context";
import { examplesText } from "../examples-text";
import { addFlags, optionsFor, type Values } from "../flags";
import { addDataFlags, addModelFlags, encoded, openData, openModel } from "../inputs";

export function evaluateCommand(program: Command, context: () => Context): void {
  const command = program
    .command("evaluate")
    .description("accuracy and loss of a model on a data set")
    .argument("<model>", "a folder, a GGUF file or a hub id")
    .argument("<data>", "a file: JSONL, CSV, or one of the known data sets with --format")
    .option("--json", "everything as JSON: each row's prediction, probability and loss")
    .addHelpText(
      "after",
      examplesText(["attribution evaluate models/my-model held-out.jsonl", "accuracy and mean loss"]),
    );
  addFlags(addDataFlags(addModelFlags(command)), ["evaluate"], ["logits"]);
  command.action((model: string, data: string, values: Values) => run(context(), model, data, values));
}

async function run(context: Context, source: string, data: string, values: Values): Promise<void> {
  const dataset = await openData(context, data, values);
  using model = await openModel(context, source, values);
  const instances = await encoded(context, model, dataset, values);
  const result = await context.step("Evaluating", (call) =>
    evaluate(model, instances, { ...optionsFor("evaluate", values), ...call }),
  );
  if (values["json"] === true) return context.terminal.json({ ids: instances.ids, ...result });
  context.terminal.table({
    caption: `${source} on ${data}`,
    columns: [{ label: "Rows" }, { label: "Accuracy", digits: 3 }, { label: "Mean loss", unit: "nats", digits: 4 }],
    rows: [[instances.size, result.accuracy, result.meanLoss]],
    notes: Number.isNaN(result.accuracy) ? ["No row has a label, so there is no accuracy."] : [],
  });
}
