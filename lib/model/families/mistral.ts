// Mistral: Llama without biases, with a sliding window in its first version.
import { llamaBody, llamaNames } from "./llama";
import { withWindows, type Family } from "./family";
import { readWindow } from "./window";

export const mistral: Family = {
  modelType: "mistral",
  causalLM: "MistralForCausalLM",
  classification: "MistralForSequenceClassification",
  ...llamaNames,
  readBody: (config) => {
    const body = llamaBody(config, { vocabulary: 32000, intermediate: 14336, positions: 131072, keyValueHeads: 8 });
    const window = readWindow(config, body.positions, 4096);
    return withWindows(body, () => window);
  },
};
