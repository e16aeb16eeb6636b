// The models that are evaluated, trained with this library: a small decoder on background sentences, then the same tuned on the
// sentences that state what is asked (facts), on sentences by their relation (relations) and on MNLI rows (pairs). Each step is kept
// in the state folder.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { wordTokenizer, wordsOf } from "../../lib/study/claims/word-tokenizer";
import { createDataset } from "../../lib/data/dataset";
import { encode } from "../../lib/data/encode";
import { evaluate } from "../../lib/model/evaluate";
import { createModel } from "../../lib/model/create-model";
import { fineTune, type FineTuneOptions } from "../../lib/model/fine-tune";
import { loadModel } from "../../lib/model/load-model";
import { saveModel } from "../../lib/model/save-model";
import type { Dataset, Instances } from "../../types/data";
import type { Model } from "../../types/model";
import type { FactsData, FactsSize } from "./facts";
import type { LabelledData } from "./labelled";
import type { PairsData, PairsSize } from "./pairs";
import type { RelationsSize } from "./relations";

export type Recipe = Omit<FineTuneOptions, "seed" | "signal" | "onProgress" | "checkpoints" | "optimizerState">;

export interface EvaluationSize {
  readonly facts: FactsSize;
  readonly relations: RelationsSize;
  readonly pairs: PairsSize;
  readonly shape: {
    readonly vocabulary: number;
    readonly hidden: number;
    readonly layers: number;
    readonly heads: number;
  };
  readonly training: Recipe;
  readonly tuning: { readonly facts: Recipe; readonly relations: Recipe; readonly pairs: Recipe };
  /** How the classifier of MNLI learns the task before it is tuned. */
  readonly teaching: Recipe;
  /** Models tuned on halves of the training set. */
  readonly subsets: number;
  readonly seed: number;
}

export type SubjectName = "facts" | "relations" | "pairs";

/** A tuned model with what it was tuned on and what is asked of it. */
export interface Subject {
  readonly name: SubjectName;
  readonly base: Model;
  readonly model: Model;
  /** Folders of the epochs, the last one the model's. */
  readonly checkpoints: readonly string[];
  readonly recipe: Recipe;
  readonly train: Instances;
  readonly queries: Instances;
}

/** Trains the base model, or finds it. */
export async function baseFolder(
  state: string,
  data: FactsData,
  pairs: PairsData,
  relations: LabelledData,
  size: EvaluationSize,
  log: (text: string) => void,
): Promise<string> {
  const folder = join(state, "base");
  if (existsSync(folder)) return folder;
  const { vocabulary, hidden, layers, heads } = size.shape;
  const tokenizer = await wordTokenizer(
    vocabularyOf(data, [pairs.taught, pairs.train, pairs.queries, relations.train, relations.queries], vocabulary),
  );
  using untrained = await createModel(
    {
      model_type: "gpt_neox",
      vocab_size: tokenizer.size,
      hidden_size: hidden,
      intermediate_size: 4 * hidden,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      max_position_embeddings: 128,
      hidden_act: "gelu",
      rotary_pct: 1,
      use_parallel_residual: false,
      tie_word_embeddings: false,
    },
    { tokenizer, seed: size.seed },
  );
  const sentences = await encode(untrained, await textsOf(data.background), { template: "{text}" });
  log(
    `training a decoder of ${untrained.parameters} parameters on ${sentences.size} sentences, ${sentences.tokens.length} tokens`,
  );
  using trained = await fineTune(untrained, sentences, { ...size.training, seed: size.seed });
  log(
    `base model: ${(await evaluate(trained, sentences)).meanLoss.toFixed(3)} nats per token of its training sentences`,
  );
  await saveModel(trained, folder);
  return folder;
}

/** Every word of the facts that is asked or tuned on, then the most frequent ones. */
function vocabularyOf({ train, queries, background }: FactsData, labelled: readonly Dataset[], most: number): string[] {
  const needed = new Set(
    [
      ...train,
      ...queries.map(({ prompt, answer }) => `${prompt} ${answer}`),
      "Premise : / Hypothesis : / Answer :",
    ].flatMap(wordsOf),
  );
  const counts = new Map<string, number>();
  const rows = labelled.flatMap((data) => data.rows).map(({ fields }) => Object.values(fields).map(String).join(" "));
  for (const word of [...background, ...rows].flatMap(wordsOf)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const frequent = [...counts.keys()]
    .filter((word) => !needed.has(word))
    .sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0));
  return [...needed, ...frequent].slice(0, Math.max(most, needed.size));
}

const textsOf = (texts: readonly string[]): Promise<Dataset> =>
  createDataset(texts.map((text, i) => ({ id: `sentence ${i}`, fields: { text }, label: -1 })));

export async function factsSubject(
  state: string,
  base: string,
  data: FactsData,
  size: EvaluationSize,
): Promise<Subject> {
  const model = await loadModel(base);
  const train = await encode(model, await textsOf(data.train), { template: "{text}" });
  const rows = data.queries.map(({ id, prompt, answer }) => ({ id, fields: { prompt, answer }, label: -1 }));
  const queries = await encode(model, await createDataset(rows), { template: "prompt", targets: "answer" });
  return tuned({ name: "facts", base: model, recipe: size.tuning.facts, train, queries }, state, size.seed);
}

export async function relationsSubject(
  state: string,
  base: string,
  data: LabelledData,
  size: EvaluationSize,
): Promise<Subject> {
  const model = await classifierOf(base, data, size.seed);
  const [train, queries] = [
    await encode(model, data.train, { template: "text" }),
    await encode(model, data.queries, { template: "text" }),
  ];
  return tuned({ name: "relations", base: model, recipe: size.tuning.relations, train, queries }, state, size.seed);
}

export async function pairsSubject(
  state: string,
  base: string,
  data: PairsData,
  size: EvaluationSize,
  log: (text: string) => void,
): Promise<Subject> {
  const folder = join(state, "pairs-base");
  if (!existsSync(folder)) {
    using untaught = await classifierOf(base, data, size.seed);
    const rows = await encode(untaught, data.taught);
    log(`teaching the classifier MNLI on ${rows.size} rows, ${rows.tokens.length} tokens`);
    using taught = await fineTune(untaught, rows, { ...size.teaching, seed: size.seed });
    await saveModel(taught, folder);
  }
  const model = await loadModel(folder);
  const [train, queries] = [await encode(model, data.train), await encode(model, data.queries)];
  return tuned({ name: "pairs", base: model, recipe: size.tuning.pairs, train, queries }, state, size.seed);
}

const classifierOf = (base: string, { train }: LabelledData, seed: number): Promise<Model> =>
  loadModel(base, { head: { kind: "classification", labels: train.labels }, seed });

async function tuned(subject: Omit<Subject, "model" | "checkpoints">, state: string, seed: number): Promise<Subject> {
  const { base, train, recipe, name } = subject;
  const folder = join(state, `${name}-run`);
  const checkpoints = Array.from({ length: recipe.epochs ?? 1 }, (_, epoch) => join(folder, `epoch-${epoch + 1}`));
  const last = checkpoints[checkpoints.length - 1];
  if (!existsSync(last))
    (await fineTune(base, train, { ...recipe, seed, checkpoints: folder, optimizerState: true })).close();
  return { ...subject, model: await loadModel(last), checkpoints };
}
