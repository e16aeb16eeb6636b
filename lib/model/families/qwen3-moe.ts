// Qwen3-MoE: Qwen3 with experts in some layers.
import { count, flag, type Config } from "../config/config-reader";
import {
  expertCounts,
  fusedNames,
  readExperts,
  readRenormalised,
  readSparseLayers,
  withExperts,
} from "../config/experts";
import { llamaBody, llamaNames, readBiases } from "./llama";
import { withWindows, type Body, type Family } from "./family";
import { qwenExperts } from "./qwen2-moe";
import { readWindow } from "./window";

export const qwen3Moe: Family = {
  modelType: "qwen3_moe",
  causalLM: "Qwen3MoeForCausalLM",
  classification: "Qwen3MoeForSequenceClassification",
  ...llamaNames,
  modules: { ...llamaNames.modules, ...qwenExperts },
  fused: fusedNames,
  reads: expertCounts,
  readBody,
};

function readBody(given: Config): Body {
  const config = { hidden_size: 2048, num_hidden_layers: 24, ...given };
  const body = llamaBody(config, { vocabulary: 151936, intermediate: 6144, positions: 32768, keyValueHeads: 4 });
  const window = flag(config, "use_sliding_window", false) ? readWindow(config, body.positions, 4096) : 0;
  return withExperts(
    config,
    {
      ...withWindows(body, () => window),
      ...readBiases(config),
      mlpBias: false,
      queryKeyNorm: "head",
    },
    {
      ...readExperts(config, { experts: 128, chosen: 8 }),
      width: count(config, ["moe_intermediate_size"], 768),
      renormalised: readRenormalised(config),
      layers: readSparseLayers(config, body.layers),
    },
  );
}
