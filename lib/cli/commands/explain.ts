// `attribution explain MODEL TEXT`: where one prediction, or a file of them, comes from: training instances, neurons, heads and input
// tokens.
import { type Command, Option } from "commander";
import type { Dataset, Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { TopInstances } from "../../../types/store";
import { openGradientStore } from "../../instance/gradient-store";
import { queryFeatures, storeSimilarity } from "../../instance/store/scores";
import { capture } from "../../model/capture";
import { inputTokens } from "../../neuron/input-tokens";
import { unitTokens } from "../../neuron/unit-tokens";
import { writeReport } from "../../report/render";
import { toCsv } from "../../results/export/to-csv";
import { top } from "../../results/top";
import {
  instanceMethod,
  type InstanceMethodName,
  instanceMethodNames,
  neuronMethod,
  type NeuronMethodName,
  neuronMethodNames,
} from "../../study/methods";
import { type Context, requireReadable, requireWritable } from "../context";
import { examplesText } from "../examples-text";
import { type Explanation, type ExplainedUnit, recordsOf, reportOf, showExplanation } from "../explanation";
import { addFlags, numberOf, optionsFor, shortenHelp, type Values } from "../flags";
import { addDataFlags, addModelFlags, encoded, openData, openModel, openPrompts } from "../inputs";

const inputMethods = ["integratedGradients", "gradientTimesInput", "none"] as const;

/** What --help shows; the options of the methods are behind --help-all. */
const usual = [
  "--data",
  "--store",
  "--method",
  "--neuron-method",
  "--input-tokens",
  "--top",
  "--html",
  "--csv",
  "--json",
  "--field",
  "--template",
  "--revision",
  "--dtype",
];

export function explainCommand(program: Command, context: () => Context): void {
  const command = program
    .command("explain")
    .description("where a prediction comes from: training instances, neurons, heads and input tokens")
    .argument("<model>", "a folder, a GGUF file or a hub id")
    .argument("<text>", "a prompt, fields as JSON, or a file of prompts (.jsonl, .txt)")
    .option("--data <file>", "training rows that the prediction may come from")
    .option("--store <folder>", "a gradient store of training rows, made by `attribution index`")
    .addOption(
      new Option("--method <name>", "how training rows are scored")
        .choices(instanceMethodNames)
        .default("gradientSimilarity"),
    )
    .addOption(
      new Option("--neuron-method <name>", "how units are scored")
        .choices(neuronMethodNames)
        .default("integratedGradients"),
    )
    .addOption(
      new Option("--input-tokens <name>", "how the prompt's tokens are scored")
        .choices(inputMethods)
        .default("integratedGradients"),
    )
    .option("--top <n>", "entries of each list", numberOf, 5)
    .option("--html <file>", "write a page, too")
    .option("--csv <file>", "write all lists as a table, too")
    .option("--json", "everything as JSON")
    .addHelpText(
      "after",
      examplesText(
        [
          'attribution explain models/my-model "The capital of France is"',
          "its neurons and heads, what they write, and the words of the prompt that count",
        ],
        [
          'attribution explain models/claims "Paris lies in Spain." --data claims.jsonl --html why.html',
          "with the training claims it comes from, as a page",
        ],
      ),
    );
  addFlags(addDataFlags(addModelFlags(command)), [...instanceMethodNames, ...neuronMethodNames], ["site"]);
  shortenHelp(command, usual);
  command.action((model: string, text: string, values: Values) => run(context(), model, text, values));
}

async function run(context: Context, source: string, text: string, values: Values): Promise<void> {
  const [data, directory, html, csv] = ["data", "store", "html", "csv"].map(
    (name) => values[name] as string | undefined,
  );
  const page = html === undefined ? undefined : await requireWritable(html, "file");
  const table = csv === undefined ? undefined : await requireWritable(csv, "file");
  if (directory !== undefined) await requireReadable(directory, "The store");
  const dataset = data === undefined ? undefined : await openData(context, data, values);
  using model = await openModel(context, source, values);
  const prompts = await openPrompts(context, model, text, values, dataset);
  const found = await instancesOf(context, model, prompts.instances, { dataset, directory }, values);
  const units = {
    neurons: await unitsOf(context, model, prompts.instances, "neurons", values),
    heads: await unitsOf(context, model, prompts.instances, "heads", values),
  };
  const inputs = await inputsOf(context, model, prompts.instances, values);
  const explanations = prompts.instances.texts.map((prompt, row): Explanation => ({
    prompt,
    prediction: prompts.predictions[row],
    probability: prompts.probabilities[row],
    instances: found.lists[row] ?? [],
    units: { neurons: units.neurons.lists[row], heads: units.heads.lists[row] },
    inputTokens: inputs.lists[row] ?? [],
  }));
  const wording = { instances: found.unit, neurons: units.neurons.unit, inputTokens: inputs.unit };
  if (table !== undefined) await toCsv(explanations.flatMap(recordsOf), table, { signal: context.signal });
  if (page !== undefined) await writeReport(page, reportOf(source, explanations, wording));
  if (values["json"] === true)
    return context.terminal.json({
      model: source,
      instanceUnit: found.unit,
      neuronUnit: units.neurons.unit,
      inputTokenUnit: inputs.unit,
      prompts: explanations,
    });
  explanations.forEach((each) => showExplanation(context, each, wording));
  if (page !== undefined) context.terminal.say(`Page: ${page}`);
  if (table !== undefined) context.terminal.say(`Table: ${table}`);
}

/** The score of each token of each prompt. */
async function inputsOf(
  context: Context,
  model: Model,
  prompts: Instances,
  values: Values,
): Promise<Found<Explanation["inputTokens"][number]>> {
  const method = values["inputTokens"] as (typeof inputMethods)[number];
  if (method === "none") return { unit: "", lists: [] };
  const { scores, tokens, offsets, unit } = await context.step("Input tokens", (call) =>
    inputTokens(model, prompts, { method, ...call }),
  );
  const texts = await model.tokenizer.tokenTexts(tokens);
  const all = texts.map((text, at) => ({ text, score: scores[at] }));
  return { unit, lists: prompts.ids.map((_, row) => all.slice(offsets[row], offsets[row + 1])) };
}

interface Found<T> {
  readonly unit: string;
  /** [prompt] */
  readonly lists: readonly (readonly T[])[];
}

/** The best training instances of each prompt, from a store or from rows; none without either. */
async function instancesOf(
  context: Context,
  model: Model,
  prompts: Instances,
  { dataset, directory }: { dataset: Dataset | undefined; directory: string | undefined },
  values: Values,
): Promise<Found<Explanation["instances"][number]>> {
  const count = values["top"] as number;
  if (directory !== undefined) {
    const store = await openGradientStore(directory);
    const best = await context.step("Asking the store", async (call) =>
      storeSimilarity(store, await queryFeatures(model, prompts, store, call), {
        similarity: "cosine",
        topK: count,
        ...call,
      }),
    );
    const texts = new Map(dataset?.rows.map(({ id, fields }) => [id, Object.values(fields).flat().join(" / ")]));
    return { unit: best.unit, lists: listsOf(best, texts) };
  }
  if (dataset === undefined) return { unit: "", lists: [] };
  const train = await encoded(context, model, dataset, values);
  const name = values["method"] as InstanceMethodName;
  const plain = name === "gradientSimilarity" && values["similarity"] === undefined ? { similarity: "cosine" } : {};
  const scores = await context.step(name, (call) =>
    instanceMethod(name)(model, train, prompts, { ...plain, ...optionsFor(name, values), ...call }),
  );
  return {
    unit: scores.unit,
    lists: prompts.ids.map((_, row) =>
      top(scores, row, count).map(({ id, score, index }) => ({ id, score, text: train.texts[index] })),
    ),
  };
}

function listsOf(
  { queries, k, indices, scores, trainIds }: TopInstances,
  texts: ReadonlyMap<string, string>,
): Explanation["instances"][] {
  return Array.from({ length: queries }, (_, query) =>
    Array.from({ length: k }, (__, at) => {
      const id = trainIds[indices[query * k + at]];
      const text = texts.get(id);
      return { id, score: scores[query * k + at], ...(text === undefined ? {} : { text }) };
    }),
  );
}

/** The best units of each prompt at one site, with what they write where the model is a language model. */
async function unitsOf(
  context: Context,
  model: Model,
  prompts: Instances,
  site: "neurons" | "heads",
  values: Values,
): Promise<Found<ExplainedUnit>> {
  const name = values["neuronMethod"] as NeuronMethodName;
  const scores = await context.step(`${name}: ${site}`, (call) =>
    neuronMethod(name)(model, prompts, { ...optionsFor(name, values), site, ...call }),
  );
  const lists = prompts.ids.map((_, row) => top(scores, row, values["top"] as number));
  const tokens = await writtenTokens(context, model, prompts, site, lists);
  return {
    unit: scores.unit,
    lists: lists.map((list, row) =>
      list.map(({ layer, unit, score }, at) => ({ layer, unit, score, tokens: tokens[row]?.[at] ?? [] })),
    ),
  };
}

/** [prompt][unit] the tokens that each unit raises most. */
async function writtenTokens(
  context: Context,
  model: Model,
  prompts: Instances,
  site: "neurons" | "heads",
  lists: readonly (readonly { readonly layer: number; readonly unit: number }[])[],
): Promise<string[][][]> {
  const { head, normOrder, headSize, layers } = model.architecture;
  if (head.kind !== "causalLM" || normOrder !== "pre") return [];
  const { values, features } = await context.step("What the units write", (call) =>
    capture(model, prompts, { site, ...call }),
  );
  const size = site === "heads" ? headSize : 1;
  const result: string[][][] = [];
  for (const [row, list] of lists.entries()) {
    const writes = list.map(({ layer, unit }) => {
      const start = (row * layers + layer) * features + unit * size;
      return { layer, unit, value: values.subarray(start, start + size) };
    });
    const written = await unitTokens(model, writes, { site, top: 5, signal: context.signal });
    result.push(await Promise.all(written.map(({ tokens }) => model.tokenizer.tokenTexts(tokens.map(({ id }) => id)))));
  }
  return result;
}
