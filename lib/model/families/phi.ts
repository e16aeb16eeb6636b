// Phi-1, 1.5 and 2: parallel blocks with one norm, half of each head turned, biases everywhere.
import {
  activation,
  count,
  dropout,
  epsilon,
  flag,
  layerCount,
  onlyNeutral,
  wholeHeads,
  type Config,
} from "../config/config-reader";
import { readRotary, reachOf } from "../config/rotary";
import { readKeyValueHeads } from "./llama";
import { plain, sameAttention, type Body, type Family } from "./family";

export const phi: Family = {
  modelType: "phi",
  causalLM: "PhiForCausalLM",
  classification: "PhiForSequenceClassification",
  prefixes: ["model.", ""],
  modules: {
    "embedding.token": "embed_tokens",
    "layers.{i}.attentionNorm": "layers.{i}.input_layernorm",
    "layers.{i}.attention.query": "layers.{i}.self_attn.q_proj",
    "layers.{i}.attention.key": "layers.{i}.self_attn.k_proj",
    "layers.{i}.attention.value": "layers.{i}.self_attn.v_proj",
    "layers.{i}.attention.output": "layers.{i}.self_attn.dense",
    "layers.{i}.mlp.up": "layers.{i}.mlp.fc1",
    "layers.{i}.mlp.down": "layers.{i}.mlp.fc2",
    finalNorm: "final_layernorm",
  },
  output: ["lm_head"],
  ignored: [/^layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/],
  readBody,
};

function readBody(config: Config): Body {
  onlyNeutral(config, { qk_layernorm: [false] });
  const hidden = count(config, ["hidden_size"], 2048);
  const heads = count(config, ["num_attention_heads"], 32);
  const headSize = wholeHeads(hidden, heads);
  const layers = layerCount(config, ["num_hidden_layers"], 24);
  const positions = count(config, ["max_position_embeddings"], 2048);
  const rotary = readRotary(config, { headSize, base: 10_000, share: 0.5, positions });
  return {
    ...plain,
    rotary: [rotary],
    attention: sameAttention(layers, headSize, { rotary: 0 }),
    vocabulary: count(config, ["vocab_size"], 51200),
    hidden,
    layers,
    heads,
    keyValueHeads: readKeyValueHeads(config, heads, undefined),
    headSize,
    intermediate: count(config, ["intermediate_size"], 8192),
    positions: reachOf(rotary, positions),
    embeddingSize: hidden,
    norm: "layer",
    normEpsilon: epsilon(config, "layer_norm_eps", 1e-5),
    position: "rotary",
    parallelResidual: true,
    sharedNorm: true,
    activation: activation(config, "hidden_act", "gelu_new"),
    queryKeyValue: "separate",
    queryKeyValueBias: true,
    attentionOutputBias: true,
    mlpBias: true,
    tiedOutput: flag(config, "tie_word_embeddings", false),
    outputBias: true,
    dropout: {
      embedding: dropout(config, "embd_pdrop", 0),
      attention: dropout(config, "attention_dropout", 0),
      residual: dropout(config, "resid_pdrop", 0),
    },
  };
}
