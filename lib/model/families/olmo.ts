// OLMo: Llama with LayerNorms that have no weights, and clipped queries, keys and values.
import { real } from "../config/config-reader";
import { llamaBody, llamaNames, readBiases } from "./llama";
import type { Family } from "./family";

export const olmo: Family = {
  modelType: "olmo",
  causalLM: "OlmoForCausalLM",
  classification: "OlmoForSequenceClassification",
  ...llamaNames,
  readBody: (config) => ({
    ...llamaBody(config, { vocabulary: 50304, intermediate: 11008, positions: 2048, keyValueHeads: undefined }),
    ...readBiases(config),
    mlpBias: false,
    norm: "layer",
    normEpsilon: 1e-5,
    normWeight: "none",
    normBias: false,
    queryKeyValueClip: real(config, ["clip_qkv"], 0, 0, 1e6),
  }),
};
