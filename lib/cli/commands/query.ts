// `attribution query STORE MODEL TEXT`: the training instances of a store that a prompt's prediction comes from.
import type { Command } from "commander";
import type { TopInstances } from "../../../types/store";
import { openGradientStore } from "../../instance/gradient-store";
import { queryFeatures, storeSimilarity } from "../../instance/store/scores";
import { type Context, requireReadable } from "../context";
import { examplesText } from "../examples-text";
import { addFlags, optionsFor, type Values } from "../flags";
import { addDataFlags, addModelFlags, openData, openModel, openPrompts, type Prompts } from "../inputs";

export function queryCommand(program: Command, context: () => Context): void {
  const command = program
    .command("query")
    .description("ask a gradient store which training instances a prediction comes from")
    .argument("<store>", "the folder that `attribution index` wrote")
    .argument("<model>", "the model whose store it is")
    .argument("<text>", "a prompt, fields as JSON, or a file of prompts (.jsonl, .txt)")
    .option("--data <file>", "the training rows, to show their texts beside their ids")
    .option("--json", "scores, indices and ids as JSON")
    .addHelpText(
      "after",
      examplesText([
        'attribution query stores/train models/my-model "Paris lies in" --data train.jsonl --top-k 5',
        "the five rows that most support the prediction",
      ]),
    );
  addFlags(addDataFlags(addModelFlags(command)), ["storeSimilarity"]);
  command.action((store: string, model: string, text: string, values: Values) =>
    run(context(), store, model, text, values),
  );
}

async function run(context: Context, directory: string, source: string, text: string, values: Values): Promise<void> {
  await requireReadable(directory, "The store");
  const store = await openGradientStore(directory);
  const data = values["data"] as string | undefined;
  const dataset = data === undefined ? undefined : await openData(context, data, values);
  using model = await openModel(context, source, values);
  const prompts = await openPrompts(context, model, text, values, dataset);
  const features = await context.step("Gradients of the prompts", (call) =>
    queryFeatures(model, prompts.instances, store, call),
  );
  const options = { topK: 10, ...optionsFor("storeSimilarity", values) };
  const best = await context.step("Reading the store", (call) =>
    storeSimilarity(store, features, { ...options, ...call }),
  );
  if (values["json"] === true) return context.terminal.json(best);
  const texts = new Map(dataset?.rows.map(({ id, fields }) => [id, Object.values(fields).flat().join(" / ")]));
  for (let query = 0; query < best.queries; query++) showBest(context, prompts, best, query, texts);
}

function showBest(
  context: Context,
  prompts: Prompts,
  best: TopInstances,
  query: number,
  texts: ReadonlyMap<string, string>,
): void {
  const rows = Array.from({ length: best.k }, (_, at) => {
    const index = best.indices[query * best.k + at];
    const id = best.trainIds[index];
    return [at + 1, best.scores[query * best.k + at], id, ...(texts.size === 0 ? [] : [texts.get(id) ?? ""])];
  });
  const text = prompts.instances.texts[query];
  context.terminal.table({
    caption: `${text} → ${prompts.predictions[query]} (${(100 * prompts.probabilities[query]).toFixed(1)} %)`,
    columns: [
      { label: "Rank", digits: 0 },
      { label: "Score" },
      { label: "Id" },
      ...(texts.size === 0 ? [] : [{ label: "Text" }]),
    ],
    rows,
    notes: [`Score: ${best.unit}. Positive: training on the row lowers the loss of this prediction.`],
  });
}
