// StableLM: Llama with LayerNorms, a quarter of each head turned, and parallel blocks where asked for.
import { dropout, epsilon, flag, onlyNeutral } from "../config/config-reader";
import { llamaBody, llamaNames } from "./llama";
import type { Family } from "./family";

export const stablelm: Family = {
  modelType: "stablelm",
  causalLM: "StableLmForCausalLM",
  classification: "StableLmForSequenceClassification",
  ...llamaNames,
  readBody: (config) => {
    onlyNeutral(config, { qk_layernorm: [false] });
    const isParallel = flag(config, "use_parallel_residual", false);
    const body = llamaBody(config, {
      vocabulary: 50304,
      intermediate: 6912,
      positions: 4096,
      keyValueHeads: 32,
      share: 0.25,
    });
    return {
      ...body,
      norm: "layer",
      normEpsilon: epsilon(config, "layer_norm_eps", 1e-5),
      queryKeyValueBias: flag(config, "use_qkv_bias", false),
      parallelResidual: isParallel,
      sharedNorm: isParallel,
      dropout: { ...body.dropout, residual: dropout(config, "hidden_dropout", 0) },
    };
  },
};
