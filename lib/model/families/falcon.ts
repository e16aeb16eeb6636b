// Falcon: parallel blocks with one norm or two, fused queries, keys and values of one, some or all heads.
import {
  activation,
  count,
  epsilon,
  flag,
  layerCount,
  onlyNeutral,
  setting,
  wholeHeads,
  wrong,
  type Config,
} from "../config/config-reader";
import { readRotary, reachOf } from "../config/rotary";
import { plain, sameAttention, type Body, type Family } from "./family";

const modules = {
  "embedding.token": "word_embeddings",
  "layers.{i}.attentionNorm": "h.{i}.input_layernorm",
  "layers.{i}.mlpNorm": "h.{i}.post_attention_layernorm",
  "layers.{i}.attention.qkv": "h.{i}.self_attention.query_key_value",
  "layers.{i}.attention.output": "h.{i}.self_attention.dense",
  "layers.{i}.mlp.up": "h.{i}.mlp.dense_h_to_4h",
  "layers.{i}.mlp.down": "h.{i}.mlp.dense_4h_to_h",
  finalNorm: "ln_f",
} as const;

export const falcon: Family = {
  modelType: "falcon",
  causalLM: "FalconForCausalLM",
  classification: "FalconForSequenceClassification",
  prefixes: ["transformer.", ""],
  modules,
  output: ["lm_head"],
  ignored: [],
  refine: (config) =>
    norms(config) === 2 && isParallel(config)
      ? {
          modules: { ...modules, "layers.{i}.attentionNorm": "h.{i}.ln_attn", "layers.{i}.mlpNorm": "h.{i}.ln_mlp" },
        }
      : {},
  readBody,
};

const isNew = (config: Config) => flag(config, "new_decoder_architecture", false);
const isParallel = (config: Config) => flag(config, "parallel_attn", true);

/** Norms of a parallel block. */
function norms(config: Config): number {
  const given = setting(config, "num_ln_in_parallel_attn") ?? (isNew(config) ? 2 : 1);
  if (given !== 1 && given !== 2) throw wrong(["num_ln_in_parallel_attn"], "1 or 2", given);
  return given;
}

function readHeads(config: Config, heads: number): Pick<Body, "keyValueHeads" | "queryKeyValue"> {
  if (isNew(config)) {
    const groups = count(config, ["num_kv_heads"], heads);
    if (heads % groups !== 0) throw wrong(["num_kv_heads"], `a divisor of the ${heads} heads`, groups);
    return { keyValueHeads: groups, queryKeyValue: "interleaved" };
  }
  return flag(config, "multi_query", true)
    ? { keyValueHeads: 1, queryKeyValue: "concatenated" }
    : { keyValueHeads: heads, queryKeyValue: "interleaved" };
}

function readBody(config: Config): Body {
  onlyNeutral(config, { alibi: [false], hidden_dropout: [0], attention_dropout: [0] });
  if (isNew(config)) onlyNeutral(config, { parallel_attn: [true] });
  else onlyNeutral(config, { num_ln_in_parallel_attn: [1] });
  const hidden = count(config, ["hidden_size", "n_embed"], 4544);
  const heads = count(config, ["num_attention_heads", "n_head"], 71);
  const headSize = wholeHeads(hidden, heads);
  const layers = layerCount(config, ["num_hidden_layers", "n_layer"], 32);
  const positions = count(config, ["max_position_embeddings"], 2048);
  const rotary = readRotary(config, { headSize, base: 10_000, positions });
  const hasBias = flag(config, "bias", false);
  return {
    ...plain,
    ...readHeads(config, heads),
    rotary: [rotary],
    attention: sameAttention(layers, headSize, { rotary: 0 }),
    vocabulary: count(config, ["vocab_size"], 65024),
    hidden,
    layers,
    heads,
    headSize,
    intermediate: count(config, ["ffn_hidden_size"], 4 * hidden),
    positions: reachOf(rotary, positions),
    embeddingSize: hidden,
    norm: "layer",
    normEpsilon: epsilon(config, "layer_norm_epsilon", 1e-5),
    position: "rotary",
    parallelResidual: isParallel(config),
    sharedNorm: isParallel(config) && norms(config) === 1,
    activation: activation(config, "activation", "gelu"),
    queryKeyValueBias: hasBias,
    attentionOutputBias: hasBias,
    mlpBias: hasBias,
    tiedOutput: flag(config, "tie_word_embeddings", true),
    dropout: { embedding: 0, attention: 0, residual: 0 },
  };
}
