// Qwen3: Llama with an RMS norm over each head's query and key, and heads of 128 features whatever the hidden size.
import { llamaBody, llamaNames, readBiases } from "./llama";
import { withWindows, type Family } from "./family";
import { readLayerWindows } from "./window";

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
    const windows = readLayerWindows(config, body.positions, body.layers);
    return {
      ...withWindows(body, (layer) => windows[layer]),
      ...readBiases(config),
      queryKeyNorm: "head",
      mlpBias: false,
    };
  },
};
