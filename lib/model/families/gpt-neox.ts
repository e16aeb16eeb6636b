// GPT-NeoX and Pythia: rotary embeddings on a part of each head, parallel residual, fused query-key-value as BLOOM's.
import type { Rotary } from "../../../types/architecture";
import { reachOf, rotaryRequest, scaledRotary } from "../config/rotary";
import {
  activation,
  count,
  dropout,
  epsilon,
  flag,
  layerCount,
  onlyNeutral,
  real,
  wholeHeads,
  type Config,
} from "../config/config-reader";
import { plain, sameAttention, type Body, type Family } from "./family";

export const gptNeoX: Family = {
  modelType: "gpt_neox",
  causalLM: "GPTNeoXForCausalLM",
  classification: "GPTNeoXForSequenceClassification",
  prefixes: ["gpt_neox.", ""],
  modules: {
    "embedding.token": "embed_in",
    "layers.{i}.attentionNorm": "layers.{i}.input_layernorm",
    "layers.{i}.mlpNorm": "layers.{i}.post_attention_layernorm",
    "layers.{i}.attention.qkv": "layers.{i}.attention.query_key_value",
    "layers.{i}.attention.output": "layers.{i}.attention.dense",
    "layers.{i}.mlp.up": "layers.{i}.mlp.dense_h_to_4h",
    "layers.{i}.mlp.down": "layers.{i}.mlp.dense_4h_to_h",
    finalNorm: "final_layer_norm",
  },
  output: ["embed_out", "lm_head"],
  ignored: [/^layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/, /^rotary_emb\.inv_freq$/],
  readBody,
};

/** `rotary_emb_base` and `rotary_pct` are this family's own names; the others' names, where given, must agree. */
function readNeoXRotary(config: Config, headSize: number, positions: number): Rotary {
  const request = rotaryRequest(config);
  const base = request.base ?? real(config, ["rotary_emb_base"], 10_000, 1, 1e15);
  const share = request.share ?? real(config, ["rotary_pct"], 0.25, 0, 1);
  onlyNeutral(config, { rope_theta: [base], partial_rotary_factor: [share] });
  return scaledRotary(config, request, { headSize, base, share, positions });
}

function readBody(config: Config): Body {
  const hidden = count(config, ["hidden_size"], 6144);
  const heads = count(config, ["num_attention_heads"], 64);
  const headSize = wholeHeads(hidden, heads);
  const layers = layerCount(config, ["num_hidden_layers"], 44);
  const positions = count(config, ["max_position_embeddings"], 2048);
  const rotary = readNeoXRotary(config, headSize, positions);
  const hasAttentionBias = flag(config, "attention_bias", true);
  const residual = dropout(config, "hidden_dropout", 0);
  return {
    ...plain,
    rotary: [rotary],
    attention: sameAttention(layers, headSize, { rotary: 0 }),
    vocabulary: count(config, ["vocab_size"], 50432),
    hidden,
    layers,
    heads,
    keyValueHeads: heads,
    headSize,
    intermediate: count(config, ["intermediate_size"], 24576),
    positions: reachOf(rotary, positions),
    embeddingSize: hidden,
    norm: "layer",
    normEpsilon: epsilon(config, "layer_norm_eps", 1e-5),
    position: "rotary",
    parallelResidual: flag(config, "use_parallel_residual", true),
    activation: activation(config, "hidden_act", "gelu"),
    queryKeyValue: "interleaved",
    queryKeyValueBias: hasAttentionBias,
    attentionOutputBias: hasAttentionBias,
    mlpBias: true,
    tiedOutput: flag(config, "tie_word_embeddings", false),
    dropout: { embedding: residual, attention: dropout(config, "attention_dropout", 0), residual },
  };
}
