// OLMoE: Llama with experts in every layer, norms over whole queries and keys, and clipped queries, keys and values.
import { count, real, type Config } from "../config/config-reader";
import { expertCounts, fusedNames, readExperts, readRenormalised, withExperts } from "../config/experts";
import { llamaBody, llamaNames, readBiases } from "./llama";
import type { Body, Family } from "./family";
import { qwenExperts } from "./qwen2-moe";

export const olmoe: Family = {
  modelType: "olmoe",
  causalLM: "OlmoeForCausalLM",
  classification: "OlmoeForSequenceClassification",
  ...llamaNames,
  modules: { ...llamaNames.modules, ...qwenExperts },
  fused: fusedNames,
  reads: expertCounts,
  readBody,
};

function readBody(given: Config): Body {
  const config = { hidden_size: 2048, num_hidden_layers: 16, num_attention_heads: 16, ...given };
  const body: Body = {
    ...llamaBody(config, {
      vocabulary: 50304,
      intermediate: 2048,
      positions: 4096,
      keyValueHeads: undefined,
      epsilon: 1e-5,
    }),
    ...readBiases(config),
    mlpBias: false,
    queryKeyNorm: "projection",
    queryKeyValueClip: real(config, ["clip_qkv"], 0, 0, 1e6),
  };
  return withExperts(config, body, {
    ...readExperts(config, { experts: 64, chosen: 8 }),
    width: count(config, ["intermediate_size"], 2048),
    renormalised: readRenormalised(config),
    layers: body.attention.map(() => true),
  });
}
