// `attribution demo` and `attribution demo facts`: the main job on real input.
import type { Command } from "commander";
import { AttributionError } from "../../errors";
import { type Definition, parseDefinition } from "../../study/definition";
import { findStudy } from "../../study/presets";
import { runFacts } from "../facts/facts";
import { reportFile, type Session, startSession } from "../session";
import { type Context, requireWritable } from "../context";
import { examplesText } from "../examples-text";
import { numberOf } from "../flags";
import { runAndShow, showStudy } from "./run";

interface DemoValues {
  readonly out: string;
  readonly seed: number;
  readonly queries?: number;
  readonly tuningTest: boolean;
  readonly model?: string;
  readonly data?: string;
  readonly test?: string;
  readonly epochs?: number;
  readonly learningRate?: number;
  readonly batchSize?: number;
}

const ownOnly = ["test", "epochs", "learningRate", "batchSize"] as const;

export function demoCommand(program: Command, context: () => Context): void {
  const demo = program
    .command("demo")
    .description("the whole framework on claims about countries, or on your own model and data")
    .option("--out <folder>", "results, report, and what is kept for the next run", "attribution-report")
    .option(
      "--seed <n>",
      "of claims, weights, training and random controls; the same seed gives the same numbers",
      wholeFrom(0),
      42,
    )
    .option("--queries <n>", "held-out rows that are attributed (default: 40; own model: 30)", wholeFrom(1))
    .option("--no-tuning-test", "leave the fine-tuning test out, the longest step")
    .option("--model <dir>", "your own model: a folder, a GGUF file or a hub id")
    .option("--data <file>", "your own labelled rows, as JSON lines with any fields")
    .option("--test <file>", "held-out rows in the same form (default: a fifth of --data, at most 200)")
    .option("--epochs <n>", "of fine-tuning; 0 takes the model as it is (default: 3)", wholeFrom(0))
    .option("--learning-rate <x>", "(default: 2e-5)", positive)
    .option("--batch-size <n>", "(default: 8)", wholeFrom(1))
    .addHelpText(
      "after",
      examplesText(
        ["attribution demo", "trains a small decoder on claims about countries and explains its answers"],
        ["attribution demo --model models/opt-125m --data reviews.jsonl", "the same with your own model and rows"],
        ["attribution demo facts", "what a real language model knows"],
      ),
    )
    .action((values: DemoValues) => run(context(), values));
  demo
    .command("facts")
    .description("which neurons and heads of SmolLM2-135M-Instruct hold what it knows (fetched once, 93 MB)")
    .option("--facts <n>", "known facts that are attributed", wholeFrom(2), 6)
    .option("--seed <n>", "of the choice of facts and of random units", wholeFrom(0), 42)
    .option("--out <path>", "the report: a folder or an .html file", "attribution-facts")
    .addHelpText(
      "after",
      examplesText(["attribution demo facts --facts 3", "three facts, each takes several seconds per phrasing"]),
    )
    .action(async (_values: unknown, command: Command) => {
      // The parent has --seed and --out, too, and takes them where they stand before "facts".
      const values = command.opts<{ facts: number; seed: number; out: string }>();
      const here = context();
      await requireWritable(reportFile(values.out), "file");
      await runFacts(values, sessionOf(here, values.seed), here.signal);
    });
}

async function run(context: Context, values: DemoValues): Promise<void> {
  const { model, data, out } = values;
  if ((model === undefined) !== (data === undefined))
    throw new AttributionError(
      "invalid",
      "--model DIR and --data FILE go together: give both, or neither for the claims about countries",
    );
  const stray = model === undefined ? ownOnly.find((name) => values[name] !== undefined) : undefined;
  if (stray !== undefined)
    throw new AttributionError("invalid", `--${stray} is for your own model: give --model DIR and --data FILE with it`);
  const folder = await requireWritable(out, "folder");
  const definition =
    model === undefined || data === undefined ? await countryDemo(values) : ownDemo(values, model, data);
  showStudy(context, await runAndShow(context, { definition, out: folder, root: process.cwd() }), false, folder);
}

/** The first model of the study small/claims. */
async function countryDemo({ seed, queries, tuningTest }: DemoValues): Promise<Definition> {
  const { definition } = await findStudy("small/claims");
  const [{ name: _name, ...data }] = definition.data;
  return parseDefinition(
    {
      ...definition,
      name: "What the answers come from: claims about countries",
      models: definition.models.slice(0, 1),
      data: [{ ...data, name: "countries", ...(queries === undefined ? {} : { queries }) }],
      seed,
      tests: { ...definition.tests, ...(tuningTest ? {} : { fineTuning: undefined }) },
    },
    "the demo",
  );
}

/** Large models are asked less: the head's gradients, fewer nodes, one share. */
function ownDemo(
  { test, epochs = 3, learningRate = 2e-5, batchSize = 8, seed, queries = 30, tuningTest }: DemoValues,
  model: string,
  data: string,
): Definition {
  return parseDefinition(
    {
      name: "What the answers come from",
      models: [{ name: "model", path: model }],
      data: [
        {
          name: "data",
          format: /\.[ct]sv$/.test(data) ? "csv" : "jsonl",
          path: data,
          queries,
          fact: "fact",
          ...(test === undefined ? {} : { test: { path: test } }),
        },
      ],
      tune: { epochs, learningRate, batchSize, keep: "last" },
      instanceMethods: [
        { name: "EK-FAC (head)", method: "influence", options: { inverse: "ekfac", parameters: "head" } },
        {
          name: "Gradient cosine (head)",
          method: "gradientSimilarity",
          options: { similarity: "cosine", parameters: "head" },
        },
        { name: "BM25", method: "bm25" },
      ],
      neuronMethods: [
        { name: "Integrated gradients", method: "integratedGradients" },
        { name: "Gradient × activation", method: "gradientTimesActivation" },
      ],
      trainNeurons: { nodes: 10 },
      tests: { controls: 5, ...(tuningTest ? { fineTuning: { fractions: [0.3] } } : {}) },
      seed,
      seeds: [seed],
    },
    "the demo",
  );
}

function sessionOf({ terminal, signal }: Context, seed: number): Session {
  return startSession({ seed, signal, terminal });
}

function wholeFrom(least: number): (text: string) => number {
  return (text) => {
    if (/^\d{1,15}$/.test(text) && Number(text) >= least) return Number(text);
    throw new AttributionError("invalid", `Expected a whole number of at least ${least} but received "${text}"`);
  };
}

function positive(text: string): number {
  const value = numberOf(text);
  if (value > 0) return value;
  throw new AttributionError("invalid", `Expected a number above 0 but received "${text}"`);
}
