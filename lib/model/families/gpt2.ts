// GPT-2: learned positions, fused query-key-value laid out [3, head, feature], linears stored [input, output] (Conv1D).
import {
  activation,
  count,
  dropout,
  epsilon,
  flag,
  layerCount,
  wholeHeads,
  type Config,
} from "../config/config-reader";
import type { LayerAttention } from "../../../types/architecture";
import { plain, sameAttention, type Body, type Family } from "./family";

export const gpt2: Family = {
  modelType: "gpt2",
  causalLM: "GPT2LMHeadModel",
  classification: "GPT2ForSequenceClassification",
  prefixes: ["transformer.", ""],
  modules: {
    "embedding.token": "wte",
    "embedding.position": "wpe",
    "layers.{i}.attentionNorm": "h.{i}.ln_1",
    "layers.{i}.mlpNorm": "h.{i}.ln_2",
    "layers.{i}.attention.qkv": "h.{i}.attn.c_attn",
    "layers.{i}.attention.output": "h.{i}.attn.c_proj",
    "layers.{i}.mlp.up": "h.{i}.mlp.c_fc",
    "layers.{i}.mlp.down": "h.{i}.mlp.c_proj",
    finalNorm: "ln_f",
  },
  output: ["lm_head"],
  ignored: [/^h\.\d+\.attn\.(bias|masked_bias)$/],
  readBody,
};

const readLayers = (config: Config) => layerCount(config, ["n_layer", "num_hidden_layers"], 12);

/** `reorder_and_upcast_attn` changes the order of the same arithmetic, and is not read. */
function readAttention(config: Config, headSize: number): readonly LayerAttention[] {
  flag(config, "reorder_and_upcast_attn", false);
  const divisor = flag(config, "scale_attn_weights", true) ? Math.sqrt(headSize) : 1;
  const grows = flag(config, "scale_attn_by_inverse_layer_idx", false);
  return sameAttention(readLayers(config), headSize).map((layer, i) => ({
    ...layer,
    divisor: grows ? divisor * (i + 1) : divisor,
  }));
}

function readBody(config: Config): Body {
  const hidden = count(config, ["n_embd", "hidden_size"], 768);
  const heads = count(config, ["n_head", "num_attention_heads"], 12);
  const headSize = wholeHeads(hidden, heads);
  return {
    ...plain,
    vocabulary: count(config, ["vocab_size"], 50257),
    hidden,
    layers: readLayers(config),
    heads,
    keyValueHeads: heads,
    headSize,
    attention: readAttention(config, headSize),
    intermediate: count(config, ["n_inner"], 4 * hidden),
    positions: count(config, ["n_positions", "max_position_embeddings"], 1024),
    embeddingSize: hidden,
    norm: "layer",
    normEpsilon: epsilon(config, "layer_norm_epsilon", 1e-5),
    position: "learned",
    activation: activation(config, "activation_function", "gelu_new"),
    queryKeyValue: "concatenated",
    queryKeyValueBias: true,
    attentionOutputBias: true,
    mlpBias: true,
    transposedLinears: true,
    tiedOutput: flag(config, "tie_word_embeddings", true),
    dropout: {
      embedding: dropout(config, "embd_pdrop", 0.1),
      attention: dropout(config, "attn_pdrop", 0.1),
      residual: dropout(config, "resid_pdrop", 0.1),
    },
  };
}
