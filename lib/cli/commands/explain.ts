// `attribution explain MODEL TEXT`: where one prediction, or a file of them, comes from: training instances, neurons and heads.
import { type Command, Option } from "commander";
import type { Dataset, Instances } from "../../../types/data";
import type { Model } from "../../../types/model";
import type { InstanceCard, InstanceEntry, Report } from "../../../types/report";
import type { TopInstances } from "../../../types/store";
import { openGradientStore } from "../../instance/gradient-store";
import { queryFeatures, storeSimilarity } from "../../instance/store/scores";
import { capture } from "../../model/capture";
import { unitTokens } from "../../neuron/unit-tokens";
import { writeReport } from "../../report/render";
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
import { addFlags, numberOf, optionsFor, type Values } from "../flags";
import { addDataFlags, addModelFlags, encoded, openData, openModel, openPrompts } from "../inputs";
import { unitName } from "./neurons";

/** What one prompt's prediction comes from. */
interface Explanation {
  readonly prompt: string;
  readonly prediction: string;
  readonly probability: number;
  /** Empty without data or a store. */
  readonly instances: readonly { readonly id: string; readonly score: number; readonly text?: string }[];
  readonly units: Readonly<Record<"neurons" | "heads", readonly ExplainedUnit[]>>;
}

interface ExplainedUnit {
  readonly layer: number;
  readonly unit: number;
  readonly score: number;
  /** What the unit writes, best first; empty where the model is no language model. */
  readonly tokens: readonly string[];
}

export function explainCommand(program: Command, context: () => Context): void {
  const command = program
    .command("explain")
    .description("where a prediction comes from: training instances, neurons and heads")
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
    .option("--top <n>", "entries of each list", numberOf, 5)
    .option("--html <file>", "write a page, too")
    .option("--json", "everything as JSON")
    .addHelpText(
      "after",
      examplesText(
        [
          'attribution explain models/my-model "The capital of France is"',
          "its neurons and heads, and what they write",
        ],
        [
          'attribution explain models/claims "Paris lies in Spain." --data claims.jsonl --html why.html',
          "with the training claims it comes from, as a page",
        ],
      ),
    );
  addFlags(addDataFlags(addModelFlags(command)), [...instanceMethodNames, ...neuronMethodNames], ["site"]);
  command.action((model: string, text: string, values: Values) => run(context(), model, text, values));
}

async function run(context: Context, source: string, text: string, values: Values): Promise<void> {
  const [data, directory, html] = [values["data"], values["store"], values["html"]] as (string | undefined)[];
  const page = html === undefined ? undefined : await requireWritable(html, "file");
  if (directory !== undefined) await requireReadable(directory, "The store");
  const dataset = data === undefined ? undefined : await openData(context, data, values);
  using model = await openModel(context, source, values);
  const prompts = await openPrompts(context, model, text, values, dataset);
  const found = await instancesOf(context, model, prompts.instances, { dataset, directory }, values);
  const units = {
    neurons: await unitsOf(context, model, prompts.instances, "neurons", values),
    heads: await unitsOf(context, model, prompts.instances, "heads", values),
  };
  const explanations = prompts.instances.texts.map((prompt, row): Explanation => ({
    prompt,
    prediction: prompts.predictions[row],
    probability: prompts.probabilities[row],
    instances: found.lists[row] ?? [],
    units: { neurons: units.neurons.lists[row], heads: units.heads.lists[row] },
  }));
  if (page !== undefined) await writeReport(page, reportOf(source, explanations, found.unit, units.neurons.unit));
  if (values["json"] === true)
    return context.terminal.json({
      model: source,
      instanceUnit: found.unit,
      neuronUnit: units.neurons.unit,
      prompts: explanations,
    });
  explanations.forEach((each) => show(context, each, found.unit, units.neurons.unit));
  if (page !== undefined) context.terminal.say(`Page: ${page}`);
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

function show(
  { terminal }: Context,
  { prompt, prediction, probability, instances, units }: Explanation,
  unit: string,
  neuronUnit: string,
): void {
  terminal.heading(`\n${prompt} → ${prediction} (${(100 * probability).toFixed(1)} %)`);
  if (instances.length > 0)
    terminal.table({
      caption: "Training instances",
      columns: [{ label: "Score" }, { label: "Id" }, { label: "Text" }],
      rows: instances.map(({ score, id, text = "" }) => [score, id, text]),
      notes: [`Score: ${unit}.`],
    });
  for (const site of ["neurons", "heads"] as const)
    terminal.table({
      caption: site === "neurons" ? "Neurons" : "Attention heads",
      columns: [
        { label: "Score" },
        { label: "Unit" },
        ...(units[site].some(({ tokens }) => tokens.length > 0) ? [{ label: "Writes" }] : []),
      ],
      rows: units[site].map((each) => [
        each.score,
        unitName({ site, units: 0 }, each.layer, each.unit),
        each.tokens.map((token) => token.trim()).join(" · "),
      ]),
      notes: [`Score: ${neuronUnit}.${explainedShare(units[site], probability)}`],
    });
}

/** A saturated prediction must not look explained: what the listed units add up to, beside the probability. */
function explainedShare(units: readonly ExplainedUnit[], probability: number): string {
  const sum = units.reduce((total, { score }) => total + score, 0);
  return ` These ${units.length} add up to ${sum.toPrecision(2)}; the probability is ${probability.toPrecision(3)}.`;
}

function reportOf(source: string, explanations: readonly Explanation[], unit: string, neuronUnit: string): Report {
  return {
    title: `Where predictions of ${source} come from`,
    summary: `${explanations.length} ${explanations.length === 1 ? "prediction" : "predictions"} with the training instances, neurons and heads that each comes from.`,
    facts: [{ name: "Model", value: source }],
    sections: [
      {
        title: "Predictions",
        explanation: "Each list is sorted by score, best first. A positive score supports the prediction.",
        blocks: [{ kind: "instances", cards: explanations.map((each, at) => cardOf(each, at, unit, neuronUnit)) }],
      },
    ],
  };
}

function cardOf(
  { prompt, prediction, probability, instances, units }: Explanation,
  at: number,
  unit: string,
  neuronUnit: string,
): InstanceCard {
  const entries = instances.map(({ id, score, text }): InstanceEntry => ({ id, score, text: text ?? id }));
  return {
    id: `prompt ${at + 1}`,
    text: prompt,
    prediction: { label: prediction, probability },
    instances: entries.length === 0 ? [] : [{ method: "Training instances", unit, entries }],
    neurons: [
      { method: "Neurons", unit: neuronUnit, entries: units.neurons },
      { method: "Attention heads", unit: neuronUnit, entries: units.heads },
    ].map((list) => ({
      ...list,
      entries: list.entries.map(({ layer, unit: index, score }) => ({ layer, unit: index, score })),
    })),
  };
}
