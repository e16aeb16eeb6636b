// Mistral: Llama without biases, with a sliding window in its first version.
import { llamaBody, llamaNames } from "./llama";
import type { Family } from "./family";
import { refuseWindow } from "./window";

export const mistral: Family = {
  modelType: "mistral",
  causalLM: "MistralForCausalLM",
  classification: "MistralForSequenceClassification",
  ...llamaNames,
  readBody: (config) => {
    const body = llamaBody(config, { vocabulary: 32000, intermediate: 14336, positions: 131072, keyValueHeads: 8 });
    refuseWindow(config, body.positions, 4096);
    return body;
  },
};
