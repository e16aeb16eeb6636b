// The models and inputs that the cases share. Weights are random: speed does not depend on what a model knows.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AttributionError } from "../lib/errors";
import { createInstances } from "../lib/data/instances";
import { createModel, type CreateModelOptions } from "../lib/model/create-model";
import { loadModel } from "../lib/model/load-model";
import { saveModel } from "../lib/model/save-model";
import { integratedGradients } from "../lib/neuron/integrated-gradients";
import { createRandom } from "../lib/random";
import type { ComputeType } from "../types/architecture";
import type { Instances } from "../types/data";
import type { Model } from "../types/model";
import { relativeDifference } from "./agreement";

/** facebook/opt-125m's: 12 layers of 768, 36,864 MLP neurons. */
export const opt125m = {
  model_type: "opt",
  vocab_size: 50272,
  hidden_size: 768,
  word_embed_proj_dim: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  ffn_dim: 3072,
  max_position_embeddings: 2048,
  activation_function: "relu",
  do_layer_norm_before: true,
  enable_bias: true,
  init_std: 0.02,
  bos_token_id: 2,
  eos_token_id: 2,
  pad_token_id: 1,
  tie_word_embeddings: true,
};

/** The same in small, for tests of the benchmarks themselves. */
export const optTiny = {
  ...opt125m,
  vocab_size: 96,
  hidden_size: 32,
  word_embed_proj_dim: 32,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  ffn_dim: 40,
  max_position_embeddings: 64,
};

/** EleutherAI/pythia-160m's: 12 layers of 768 with parallel residuals, an output projection of its own. */
export const pythia160m = {
  model_type: "gpt_neox",
  vocab_size: 50304,
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  max_position_embeddings: 2048,
  rotary_pct: 0.25,
  rotary_emb_base: 10000,
  hidden_act: "gelu",
  use_parallel_residual: true,
  layer_norm_eps: 1e-5,
  initializer_range: 0.02,
  attention_bias: true,
  bos_token_id: 0,
  eos_token_id: 0,
  tie_word_embeddings: false,
};

/** A GPT-NeoX of 4 layers of 256, for what would take hours on a larger one. */
export const neoxSmall = {
  ...pythia160m,
  vocab_size: 8192,
  hidden_size: 256,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  intermediate_size: 1024,
  max_position_embeddings: 256,
};

export const pythiaTiny = {
  ...pythia160m,
  vocab_size: 96,
  hidden_size: 32,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  intermediate_size: 40,
  max_position_embeddings: 64,
};

export type Shape = typeof opt125m;
export type LanguageShape = Shape | typeof pythia160m;

/** Tokens of the first 64 MNLI training pairs, premise and hypothesis with a space between, by GPT-NeoX's tokenizer. */
export const mnliLengths = [
  29, 22, 29, 57, 36, 61, 31, 40, 65, 23, 43, 51, 35, 33, 19, 72, 13, 47, 7, 24, 11, 25, 21, 33, 32, 14, 29, 36, 42, 20,
  12, 36, 55, 29, 42, 33, 34, 30, 22, 57, 26, 31, 18, 35, 26, 30, 32, 50, 33, 34, 37, 38, 38, 27, 19, 28, 44, 42, 71,
  49, 47, 30, 43, 36,
];

export interface Subject extends AsyncDisposable {
  readonly model: Model;
  /** The same weights on disk, for the references. */
  readonly directory: string;
}

/** A randomly initialised 3-way classifier in memory and on disk; the folder goes when it is disposed. */
export const classifier = (shape: Shape): Promise<Subject> =>
  subject(shape, { labels: ["entailment", "neutral", "contradiction"] });

/** The same with a language model's head. */
export const languageModel = (shape: LanguageShape, dtype: ComputeType): Promise<Subject> => subject(shape, { dtype });

async function subject(shape: LanguageShape, options: CreateModelOptions): Promise<Subject> {
  const folder = await mkdtemp(join(tmpdir(), "attribution-bench-"));
  const directory = join(folder, "model");
  const model = await createModel(shape, { ...options, seed: 42 });
  await saveModel(model, directory);
  const dispose = async (): Promise<void> => {
    model.close();
    await rm(folder, { recursive: true, force: true });
  };
  return { model, directory, [Symbol.asyncDispose]: dispose };
}

/** Random tokens (special ones left out) of the given lengths. */
export function randomRows(vocabulary: number, lengths: readonly number[], seed = 0): number[][] {
  const random = createRandom(11 + seed, lengths.length);
  return lengths.map((length) => Array.from({ length }, () => 3 + random.below(vocabulary - 3)));
}

/** One instance of so many random tokens (special ones left out). */
export function oneInstance(shape: Shape, length: number, seed = 0): Instances {
  const random = createRandom(7 + seed, length);
  return createInstances({
    kind: "classification",
    rows: [Array.from({ length }, () => 3 + random.below(shape.vocab_size - 3))],
  });
}

export interface SteadyPrompt {
  readonly instances: Instances;
  /** Prompts passed over before it. */ readonly skipped: number;
}

/**
 * The first random prompt whose scores are the same in float32 and float64 within `most`, relative to the largest. A ReLU whose input lies
 * within rounding of zero opens in one order of summation and stays shut in another, and its gradient jumps: there our
 * float32 scores are off by some 1e-4 of the largest (with GELU by 1e-6). Passing over such prompts conditions the comparison on our
 * own rounding; the case says how many were passed over.
 */
export async function steadyPrompt(
  shape: Shape,
  length: number,
  { model, directory }: Subject,
  most: number,
  nodes = 20,
  tries = 20,
): Promise<SteadyPrompt> {
  using exact = await loadModel(directory, { dtype: "float64" });
  for (let skipped = 0; skipped < tries; skipped++) {
    const instances = oneInstance(shape, length, skipped);
    const [own, wanted] = [
      await integratedGradients(model, instances, { nodes }),
      await integratedGradients(exact, instances, { nodes }),
    ];
    if (relativeDifference(own.scores, wanted.scores) <= most) return { instances, skipped };
  }
  throw new AttributionError(
    "native",
    `None of ${tries} prompts of ${length} tokens scores the same in float32 and float64`,
  );
}
