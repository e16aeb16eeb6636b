// Qwen2 and Qwen2.5: Llama with biases on queries, keys and values.
import { llamaBody, llamaNames } from "./llama";
import { withWindows, type Family } from "./family";
import { readLayerWindows } from "./window";

export const qwen2: Family = {
  modelType: "qwen2",
  causalLM: "Qwen2ForCausalLM",
  classification: "Qwen2ForSequenceClassification",
  ...llamaNames,
  readBody: (config) => {
    const body = llamaBody(config, { vocabulary: 151936, intermediate: 22016, positions: 32768, keyValueHeads: 32 });
    const windows = readLayerWindows(config, body.positions, body.layers);
    return { ...withWindows(body, (layer) => windows[layer]), queryKeyValueBias: true };
  },
};
