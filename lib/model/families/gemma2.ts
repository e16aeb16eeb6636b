// Gemma 2: Gemma with norms before and after attention and MLP, soft caps, and a window in every other layer.
import { real, type Config } from "../config/config-reader";
import { llamaNames } from "./llama";
import { gemmaBody } from "./gemma";
import type { Body, Family } from "./family";
import { readWindow, slidingLayers } from "./window";

/** Settings of Gemma 2 and 3 that other families would refuse. */
export const gemmaReads = ["attn_logit_softcapping", "final_logit_softcapping"] as const;

export const gemmaNames = {
  ...llamaNames,
  modules: {
    ...llamaNames.modules,
    "layers.{i}.attentionOutputNorm": "layers.{i}.post_attention_layernorm",
    "layers.{i}.mlpNorm": "layers.{i}.pre_feedforward_layernorm",
    "layers.{i}.mlpOutputNorm": "layers.{i}.post_feedforward_layernorm",
  },
} as const;

export const gemma2: Family = {
  modelType: "gemma2",
  causalLM: "Gemma2ForCausalLM",
  classification: "Gemma2ForSequenceClassification",
  ...gemmaNames,
  reads: gemmaReads,
  readBody: (config) => {
    const body = gemmaBody(config, "hidden_activation", {
      vocabulary: 256000,
      intermediate: 9216,
      positions: 8192,
      keyValueHeads: 4,
      headSize: 256,
      isTied: true,
    });
    const isSliding = slidingLayers(config, body.layers, (layer) => layer % 2 === 0);
    const window = readWindow(config, body.positions, 4096);
    return {
      ...body,
      ...readCaps(config, 50, 30),
      normOrder: "both",
      attention: body.attention.map((layer, i) => ({
        ...layer,
        window: isSliding[i] ? window : 0,
        divisor: readDivisor(config),
      })),
    };
  },
};

/** Scores are divided by the root of `query_pre_attn_scalar`. */
export function readDivisor(config: Config): number {
  return Math.sqrt(real(config, ["query_pre_attn_scalar"], 256, 1e-6, 1e9));
}

/** JSON's null is no cap; silence is the family's default. */
export function readCaps(config: Config, attention: number, logits: number): Pick<Body, "attentionCap" | "logitCap"> {
  const cap = (name: string, fallback: number) => (config[name] === null ? 0 : real(config, [name], fallback, 0, 1e6));
  return {
    attentionCap: cap("attn_logit_softcapping", attention),
    logitCap: cap("final_logit_softcapping", logits),
  };
}
