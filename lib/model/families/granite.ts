// Granite: Llama with multipliers of embeddings, residual sums, scores and logits.
import { real } from "../config/config-reader";
import { llamaBody, llamaNames, readBiases } from "./llama";
import type { Family } from "./family";

export const granite: Family = {
  modelType: "granite",
  causalLM: "GraniteForCausalLM",
  classification: "GraniteForSequenceClassification",
  ...llamaNames,
  readBody: (config) => {
    const body = llamaBody(config, {
      vocabulary: 32000,
      intermediate: 11008,
      positions: 2048,
      keyValueHeads: undefined,
    });
    const positive = (name: string) => real(config, [name], 1, 1e-6, 1e6);
    return {
      ...body,
      ...readBiases(config),
      embeddingScale: positive("embedding_multiplier"),
      residualScale: positive("residual_multiplier"),
      logitScale: 1 / positive("logits_scaling"),
      attention: body.attention.map((layer) => ({ ...layer, divisor: 1 / positive("attention_multiplier") })),
    };
  },
};
