// `attribution index MODEL DATA STORE`: builds a gradient store, goes on with one, or adds rows to one.
import type { Command } from "commander";
import { appendToGradientStore, buildGradientStore } from "../../instance/gradient-store";
import { planGradientStore } from "../../instance/store/plan";
import { type Context, nearest, requireWritable } from "../context";
import { examplesText } from "../examples-text";
import { addFlags, optionsFor, type Values } from "../flags";
import { addDataFlags, addModelFlags, encoded, openData, openModel } from "../inputs";

export function indexCommand(program: Command, context: () => Context): void {
  const command = program
    .command("index")
    .description("keep the gradients of training data in a store; killed at any moment, it goes on")
    .argument("<model>", "a folder, a GGUF file or a hub id")
    .argument("<data>", "training rows")
    .argument("<store>", "the folder of the store")
    .option("--append", "add the rows to a finished store")
    .option("--plan", "say what the store will take, and stop")
    .option("--json", "the store's description as JSON")
    .addHelpText(
      "after",
      examplesText(
        [
          "attribution index models/my-model train.jsonl stores/train --rank 16",
          "build the store, or go on where it stopped",
        ],
        ["attribution index models/my-model more.jsonl stores/train --append", "add rows"],
        ['attribution query stores/train models/my-model "The capital of France is"', "ask it"],
      ),
    );
  addFlags(addDataFlags(addModelFlags(command)), ["buildGradientStore"]);
  command.action((model: string, data: string, store: string, values: Values) =>
    run(context(), model, data, store, values),
  );
}

async function run(context: Context, source: string, data: string, out: string, values: Values): Promise<void> {
  const folder = await requireWritable(out, "folder");
  const dataset = await openData(context, data, values);
  using model = await openModel(context, source, values);
  const train = await encoded(context, model, dataset, values);
  const options = optionsFor("buildGradientStore", values);
  const { terminal } = context;
  if (values["plan"] === true)
    return showPlan(context, await planGradientStore(model, train, options, (await nearest(folder)).path), values);
  const store = await context.step(`Gradients of ${train.size} rows`, (call) =>
    values["append"] === true
      ? appendToGradientStore(model, train, folder, { ...optionsFor("appendToGradientStore", values), ...call })
      : buildGradientStore(model, train, folder, { ...options, ...call }),
  );
  if (values["json"] === true) return terminal.json({ ...store, trainIds: undefined });
  terminal.say(`${store.directory}: ${store.rows} rows of ${store.width} features, ${megabytes(store.bytes)}`);
}

function showPlan(context: Context, plan: Awaited<ReturnType<typeof planGradientStore>>, values: Values): void {
  if (values["json"] === true) return context.terminal.json(plan);
  context.terminal.say(
    [
      `${plan.rows} rows of ${plan.width} features, ${plan.tokens} tokens`,
      `On disk: ${megabytes(plan.bytesOnDisk)} (${megabytes(plan.bytesFree)} free)`,
      `Memory beside the model: ${megabytes(plan.peakMemoryBytes)}`,
      `Time: ${Math.ceil(plan.seconds)} s at ${Math.round(plan.tokensPerSecond)} tokens/s`,
    ].join("\n"),
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
