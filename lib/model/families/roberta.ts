// RoBERTa: BERT's blocks with positions from the row after the padding's, and heads of its own.
import { real, type Config } from "../config/config-reader";
import { bertBody, bertModules, classifierOf } from "./bert";
import type { Body, Family } from "./family";

export const roberta: Family = {
  modelType: "roberta",
  maskedLM: "RobertaForMaskedLM",
  classification: "RobertaForSequenceClassification",
  prefixes: ["roberta.", ""],
  modules: bertModules,
  output: ["lm_head.decoder"],
  heads: {
    maskedLM: {
      "head.dense": ["lm_head.dense"],
      "head.norm": ["lm_head.layer_norm"],
      outputBias: ["lm_head.bias", "lm_head.decoder.bias"],
    },
    classification: { "head.dense": ["classifier.dense"], score: ["classifier.out_proj"] },
  },
  ignored: [/^embeddings\.position_ids$/, /^pooler\.dense\.(weight|bias)$/],
  readBody,
};

function readBody(config: Config): Body {
  const padding = real(config, ["pad_token_id"], 1, 0, 1023);
  const body = bertBody(config, {
    vocabulary: 50265,
    positions: 512,
    types: 2,
    epsilon: 1e-12,
    offset: padding + 1,
  });
  return {
    ...body,
    headKinds: {
      maskedLM: { transform: { activation: "gelu", bias: true, norm: true } },
      classification: classifierOf(config, { activation: "tanh", bias: true, norm: false }),
    },
  };
}
