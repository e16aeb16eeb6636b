// Qwen1.5-MoE and Qwen2-MoE: Qwen2 with experts in some layers, one of which every token goes to.
import { count, flag, type Config } from "../config/config-reader";
import {
  expertCounts,
  fusedNames,
  readExperts,
  readRenormalised,
  readSparseLayers,
  withExperts,
} from "../config/experts";
import { llamaBody, llamaNames } from "./llama";
import { withWindows, type Body, type Family } from "./family";
import { readLayerWindows } from "./window";

/** Names of a router and of experts that Qwen's mixtures and OLMoE have in common. */
export const qwenExperts = {
  "layers.{i}.mlp.router": "layers.{i}.mlp.gate",
  "layers.{i}.mlp.experts.{e}.gate": "layers.{i}.mlp.experts.{e}.gate_proj",
  "layers.{i}.mlp.experts.{e}.up": "layers.{i}.mlp.experts.{e}.up_proj",
  "layers.{i}.mlp.experts.{e}.down": "layers.{i}.mlp.experts.{e}.down_proj",
} as const;

export const qwen2Moe: Family = {
  modelType: "qwen2_moe",
  causalLM: "Qwen2MoeForCausalLM",
  classification: "Qwen2MoeForSequenceClassification",
  ...llamaNames,
  modules: {
    ...llamaNames.modules,
    ...qwenExperts,
    "layers.{i}.mlp.shared.gate": "layers.{i}.mlp.shared_expert.gate_proj",
    "layers.{i}.mlp.shared.up": "layers.{i}.mlp.shared_expert.up_proj",
    "layers.{i}.mlp.shared.down": "layers.{i}.mlp.shared_expert.down_proj",
    "layers.{i}.mlp.shared.router": "layers.{i}.mlp.shared_expert_gate",
  },
  fused: fusedNames,
  reads: expertCounts,
  readBody,
};

function readBody(given: Config): Body {
  const config = { hidden_size: 2048, num_hidden_layers: 24, num_attention_heads: 16, ...given };
  const body = llamaBody(config, { vocabulary: 151936, intermediate: 5632, positions: 32768, keyValueHeads: 16 });
  const windows = readLayerWindows(
    config,
    body.positions,
    body.layers,
    (layer, first) => layer % 2 === 0 && layer < first,
  );
  return withExperts(
    config,
    {
      ...withWindows(body, (layer) => windows[layer]),
      queryKeyValueBias: flag(config, "qkv_bias", true),
    },
    {
      ...readExperts(config, { experts: 60, chosen: 4 }),
      width: count(config, ["moe_intermediate_size"], 1408),
      shared: count(config, ["shared_expert_intermediate_size"], 5632),
      renormalised: readRenormalised(config),
      layers: readSparseLayers(config, body.layers),
    },
  );
}
