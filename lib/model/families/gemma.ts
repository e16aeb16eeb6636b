// Gemma: Llama with 1 + w norms, embeddings times the root of their width, a tanh GELU and a tied output.
import { llamaBody, llamaNames, readBiases, type LlamaDefaults } from "./llama";
import { activation, onlyNeutral, type Config } from "../config/config-reader";
import type { Body, Family } from "./family";

const defaults: LlamaDefaults = {
  vocabulary: 256000,
  intermediate: 24576,
  positions: 8192,
  keyValueHeads: 16,
  headSize: 256,
  isTied: true,
};

export const gemma: Family = {
  modelType: "gemma",
  causalLM: "GemmaForCausalLM",
  classification: "GemmaForSequenceClassification",
  ...llamaNames,
  readBody: (config) => ({
    // The first files say "gelu" and mean its tanh form, which transformers puts in its place.
    ...gemmaBody(config, "hidden_act", defaults),
    ...(config["hidden_act"] === "gelu" ? { activation: "gelu-tanh" } : {}),
  }),
};

/** What all Gemmas share. */
export function gemmaBody(config: Config, activationName: string, own: LlamaDefaults): Body {
  onlyNeutral(config, { mlp_bias: [false] });
  const body = llamaBody({ ...config, hidden_act: "silu" }, own);
  return {
    ...body,
    ...readBiases(config),
    normWeight: "offset",
    embeddingScale: Math.sqrt(body.hidden),
    activation: activation(config, activationName, "gelu_pytorch_tanh"),
  };
}
