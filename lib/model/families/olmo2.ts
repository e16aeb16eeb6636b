// OLMo 2: Llama that norms what attention and MLP add, not what they read, and whole queries and keys.
import { llamaBody, llamaNames, readBiases } from "./llama";
import type { Family } from "./family";

export const olmo2: Family = {
  modelType: "olmo2",
  causalLM: "Olmo2ForCausalLM",
  classification: "Olmo2ForSequenceClassification",
  ...llamaNames,
  modules: {
    ...llamaNames.modules,
    "layers.{i}.attentionOutputNorm": "layers.{i}.post_attention_layernorm",
    "layers.{i}.mlpOutputNorm": "layers.{i}.post_feedforward_layernorm",
  },
  readBody: (config) => ({
    ...llamaBody(config, {
      vocabulary: 50304,
      intermediate: 11008,
      positions: 2048,
      keyValueHeads: undefined,
      epsilon: 1e-5,
    }),
    ...readBiases(config),
    mlpBias: false,
    normOrder: "output",
    queryKeyNorm: "projection",
  }),
};
