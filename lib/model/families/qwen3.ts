// Qwen3: Llama with an RMS norm over each head's query and key, and heads of 128 features whatever the hidden size.
import { flag } from "../config/config-reader";
import { llamaBody, llamaNames } from "./llama";
import type { Family } from "./family";
import { refuseLayerWindow } from "./window";

export const qwen3: Family = {
  modelType: "qwen3",
  causalLM: "Qwen3ForCausalLM",
  classification: "Qwen3ForSequenceClassification",
  ...llamaNames,
  readBody: (config) => {
    const body = llamaBody(config, {
      vocabulary: 151936,
      intermediate: 22016,
      positions: 32768,
      keyValueHeads: 32,
      headSize: 128,
    });
    refuseLayerWindow(config, body.positions, body.layers);
    const hasAttentionBias = flag(config, "attention_bias", false);
    return { ...body, queryKeyNorm: true, queryKeyValueBias: hasAttentionBias, attentionOutputBias: hasAttentionBias };
  },
};
