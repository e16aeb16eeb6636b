// `attribution train MODEL DATA OUT`: fine-tunes a model on a data set and saves it.
import type { Command } from "commander";
import type { Dataset } from "../../../types/data";
import { fineTuneWithHistory } from "../../model/fine-tune";
import type { HeadRequest } from "../../model/config/head";
import { saveModel } from "../../model/save-model";
import { type Context, requireReadable, requireWritable } from "../context";
import { examplesText } from "../examples-text";
import { addFlags, optionsFor, type Values } from "../flags";
import { addDataFlags, addModelFlags, encoded, openData, openModel } from "../inputs";

export function trainCommand(program: Command, context: () => Context): void {
  const command = program
    .command("train")
    .description("fine-tune a model on a data set and save it")
    .argument("<model>", "a folder, a GGUF file or a hub id")
    .argument("<data>", "training rows; rows with labels make a classifier, unless --head says otherwise")
    .argument("<out>", "the folder for the tuned model")
    .option("--evaluation-data <file>", "held-out rows, evaluated after each epoch")
    .option("--json", "the history of the run as JSON")
    .addHelpText(
      "after",
      examplesText([
        "attribution train models/opt-125m claims.jsonl models/tuned --epochs 3",
        "three epochs, saved as a model of its own",
      ]),
    );
  addFlags(addDataFlags(addModelFlags(command)), ["fineTune"]);
  command.action((model: string, data: string, out: string, values: Values) =>
    run(context(), model, data, out, values),
  );
}

async function run(context: Context, source: string, data: string, out: string, values: Values): Promise<void> {
  const folder = await requireWritable(out, "folder");
  const held = values["evaluationData"] as string | undefined;
  if (held !== undefined) await requireReadable(held, "The held-out file");
  const dataset = await openData(context, data, values);
  using base = await openModel(context, source, values, headFor(dataset));
  const train = await encoded(context, base, dataset, values);
  const heldOut =
    held === undefined
      ? undefined
      : await encoded(context, base, await openData(context, held, { ...values, labels: dataset.labels }), values);
  const { model, ...history } = await context.step(
    `Training on ${train.size} rows`,
    (call) =>
      fineTuneWithHistory(base, train, {
        ...optionsFor("fineTune", values),
        ...(heldOut && { evaluation: heldOut }),
        ...call,
      }),
    ({ losses }) => `loss ${losses[0].toFixed(3)} → ${(losses.at(-1) ?? NaN).toFixed(3)}`,
  );
  try {
    await context.step(`Saving ${out}`, (call) => saveModel(model, folder, call));
  } finally {
    model.close();
  }
  if (values["json"] === true) return context.terminal.json({ out: folder, hash: model.hash, ...history });
  context.terminal.say(`Saved ${folder} (last loss ${(history.losses.at(-1) ?? NaN).toFixed(4)} nats)`);
}

/** Rows with labels make a classifier, rows with choices a chooser; a model without either keeps its own head. */
function headFor({ labels, rows }: Dataset): HeadRequest | undefined {
  if (labels.length >= 2) return { kind: "classification", labels };
  return rows[0]?.fields["choices"] === undefined ? undefined : { kind: "choice" };
}
