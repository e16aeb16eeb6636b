// Mixtral: Mistral with experts in every layer, the chosen ones' shares divided by their sum.
import { count, type Config } from "../config/config-reader";
import { expertCounts, fusedNames, readExperts, withExperts } from "../config/experts";
import { llamaBody, llamaNames } from "./llama";
import { withWindows, type Body, type Family } from "./family";
import { readWindow } from "./window";

export const mixtral: Family = {
  modelType: "mixtral",
  causalLM: "MixtralForCausalLM",
  classification: "MixtralForSequenceClassification",
  ...llamaNames,
  modules: {
    ...llamaNames.modules,
    "layers.{i}.mlp.router": "layers.{i}.block_sparse_moe.gate",
    "layers.{i}.mlp.experts.{e}.gate": "layers.{i}.block_sparse_moe.experts.{e}.w1",
    "layers.{i}.mlp.experts.{e}.up": "layers.{i}.block_sparse_moe.experts.{e}.w3",
    "layers.{i}.mlp.experts.{e}.down": "layers.{i}.block_sparse_moe.experts.{e}.w2",
  },
  fused: fusedNames,
  reads: expertCounts,
  readBody,
};

function readBody(config: Config): Body {
  const body = llamaBody(config, {
    vocabulary: 32000,
    intermediate: 14336,
    positions: 131072,
    keyValueHeads: 8,
    base: 1_000_000,
    epsilon: 1e-5,
  });
  const window = readWindow(config, body.positions);
  return withExperts(
    config,
    withWindows(body, () => window),
    {
      ...readExperts(config, { experts: 8, chosen: 2 }),
      width: count(config, ["intermediate_size"], 14336),
      renormalised: true,
      layers: body.attention.map(() => true),
    },
  );
}
