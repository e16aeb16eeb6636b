// Cohere (Command R): parallel blocks with one LayerNorm without bias, interleaved rotary pairs, scaled logits.
import { epsilon, onlyNeutral, real } from "../config/config-reader";
import { llamaBody, llamaNames, readBiases } from "./llama";
import type { Family } from "./family";

export const cohere: Family = {
  modelType: "cohere",
  causalLM: "CohereForCausalLM",
  classification: "CohereForSequenceClassification",
  ...llamaNames,
  readBody: (config) => {
    onlyNeutral(config, { use_qk_norm: [false] });
    return {
      ...llamaBody(config, {
        vocabulary: 256000,
        intermediate: 22528,
        positions: 8192,
        keyValueHeads: undefined,
        base: 500_000,
        interleaved: true,
        isTied: true,
      }),
      ...readBiases(config),
      mlpBias: false,
      norm: "layer",
      normEpsilon: epsilon(config, "layer_norm_eps", 1e-5),
      normBias: false,
      parallelResidual: true,
      sharedNorm: true,
      logitScale: real(config, ["logit_scale"], 0.0625, 1e-6, 1e6),
    };
  },
};
