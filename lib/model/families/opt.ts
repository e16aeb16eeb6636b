// OPT (facebook/opt-125m … 66b): learned positions from row 2, ReLU, biases; 350m is post-norm with a projected embedding.
import {
  activation,
  count,
  dropout,
  flag,
  layerCount,
  onlyNeutral,
  wholeHeads,
  type Config,
} from "../config/config-reader";
import { plain, sameAttention, type Body, type Family } from "./family";

export const opt: Family = {
  modelType: "opt",
  causalLM: "OPTForCausalLM",
  classification: "OPTForSequenceClassification",
  prefixes: ["model.decoder.", "decoder.", ""],
  modules: {
    "embedding.token": "embed_tokens",
    "embedding.position": "embed_positions",
    "embedding.projectIn": "project_in",
    "embedding.projectOut": "project_out",
    "layers.{i}.attentionNorm": "layers.{i}.self_attn_layer_norm",
    "layers.{i}.mlpNorm": "layers.{i}.final_layer_norm",
    "layers.{i}.attention.query": "layers.{i}.self_attn.q_proj",
    "layers.{i}.attention.key": "layers.{i}.self_attn.k_proj",
    "layers.{i}.attention.value": "layers.{i}.self_attn.v_proj",
    "layers.{i}.attention.output": "layers.{i}.self_attn.out_proj",
    "layers.{i}.mlp.up": "layers.{i}.fc1",
    "layers.{i}.mlp.down": "layers.{i}.fc2",
    finalNorm: "final_layer_norm",
  },
  output: ["lm_head"],
  ignored: [],
  readBody,
};

function readBody(config: Config): Body {
  onlyNeutral(config, {
    layer_norm_elementwise_affine: [true],
    _remove_final_layer_norm: [false],
    layerdrop: [0],
  });
  const hidden = count(config, ["hidden_size"], 768);
  const heads = count(config, ["num_attention_heads"], 12);
  const layers = layerCount(config, ["num_hidden_layers"], 12);
  const headSize = wholeHeads(hidden, heads);
  const hasBias = flag(config, "enable_bias", true);
  const isPreNorm = flag(config, "do_layer_norm_before", true);
  return {
    ...plain,
    vocabulary: count(config, ["vocab_size"], 50272),
    hidden,
    layers,
    heads,
    keyValueHeads: heads,
    headSize,
    attention: sameAttention(layers, headSize),
    intermediate: count(config, ["ffn_dim"], 3072),
    positions: count(config, ["max_position_embeddings"], 2048),
    embeddingSize: count(config, ["word_embed_proj_dim"], hidden),
    norm: "layer",
    normEpsilon: 1e-5,
    normOrder: isPreNorm ? "pre" : "post",
    finalNorm: isPreNorm,
    position: "learned",
    positionOffset: 2,
    activation: activation(config, "activation_function", "relu"),
    queryKeyValue: "separate",
    queryKeyValueBias: hasBias,
    attentionOutputBias: hasBias,
    mlpBias: hasBias,
    tiedOutput: flag(config, "tie_word_embeddings", true),
    dropout: {
      embedding: 0,
      attention: dropout(config, "attention_dropout", 0),
      residual: dropout(config, "dropout", 0.1),
    },
  };
}
