// BLOOM: ALiBi instead of positions, a norm after the embedding, fused query-key-value laid out [head, 3, feature].
import {
  count,
  dropout,
  epsilon,
  flag,
  layerCount,
  onlyNeutral,
  wholeHeads,
  type Config,
} from "../config/config-reader";
import { plain, sameAttention, type Body, type Family } from "./family";

export const bloom: Family = {
  modelType: "bloom",
  causalLM: "BloomForCausalLM",
  classification: "BloomForSequenceClassification",
  prefixes: ["transformer.", ""],
  modules: {
    "embedding.token": "word_embeddings",
    "embedding.norm": "word_embeddings_layernorm",
    "layers.{i}.attentionNorm": "h.{i}.input_layernorm",
    "layers.{i}.mlpNorm": "h.{i}.post_attention_layernorm",
    "layers.{i}.attention.qkv": "h.{i}.self_attention.query_key_value",
    "layers.{i}.attention.output": "h.{i}.self_attention.dense",
    "layers.{i}.mlp.up": "h.{i}.mlp.dense_h_to_4h",
    "layers.{i}.mlp.down": "h.{i}.mlp.dense_4h_to_h",
    finalNorm: "ln_f",
  },
  output: ["lm_head"],
  ignored: [],
  readBody,
};

/** Where the architecture sets no limit. */
const mostPositions = 1 << 20;

function readBody(config: Config): Body {
  const hidden = count(config, ["n_embed", "hidden_size"], 64);
  onlyNeutral(config, { apply_residual_connection_post_layernorm: [false], n_inner: [4 * hidden] });
  const heads = count(config, ["n_head", "num_attention_heads"], 8);
  const layers = layerCount(config, ["n_layer", "num_hidden_layers"], 2);
  const headSize = wholeHeads(hidden, heads);
  return {
    ...plain,
    vocabulary: count(config, ["vocab_size"], 250880),
    hidden,
    layers,
    heads,
    keyValueHeads: heads,
    headSize,
    attention: sameAttention(layers, headSize),
    intermediate: 4 * hidden,
    // ALiBi sets no limit; `seq_length` is the length of the training inputs.
    positions: mostPositions,
    embeddingSize: hidden,
    norm: "layer",
    normEpsilon: epsilon(config, "layer_norm_epsilon", 1e-5),
    embeddingNorm: true,
    position: "alibi",
    activation: "gelu-tanh",
    queryKeyValue: "interleaved",
    queryKeyValueBias: true,
    attentionOutputBias: true,
    mlpBias: true,
    tiedOutput: flag(config, "tie_word_embeddings", true),
    dropout: {
      embedding: 0,
      attention: dropout(config, "attention_dropout", 0),
      residual: dropout(config, "hidden_dropout", 0),
    },
  };
}
