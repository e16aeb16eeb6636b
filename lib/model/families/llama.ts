// Llama (SmolLM2, TinyLlama …): RMS norms, rotary embeddings, grouped-query attention, a gated MLP. Its kin (mistral.ts,
// qwen2.ts, qwen3.ts) share its modules and state what differs.
import { AttributionError } from "../../errors";
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
import { readRotary, reachOf } from "../config/rotary";
import { plain, sameAttention, type Body, type Family } from "./family";

/** Sizes that transformers assumes where config.json is silent. */
export interface LlamaDefaults {
  readonly vocabulary: number;
  readonly intermediate: number;
  readonly positions: number;
  readonly keyValueHeads: number | undefined;
  readonly headSize?: number;
  readonly base?: number;
  /** Share of a head's features that is turned, where the family has one. */
  readonly share?: number;
  readonly interleaved?: boolean;
  readonly epsilon?: number;
  readonly isTied?: boolean;
}

export const llamaNames = {
  prefixes: ["model.", ""],
  modules: {
    "embedding.token": "embed_tokens",
    "layers.{i}.attentionNorm": "layers.{i}.input_layernorm",
    "layers.{i}.mlpNorm": "layers.{i}.post_attention_layernorm",
    "layers.{i}.attention.query": "layers.{i}.self_attn.q_proj",
    "layers.{i}.attention.key": "layers.{i}.self_attn.k_proj",
    "layers.{i}.attention.value": "layers.{i}.self_attn.v_proj",
    "layers.{i}.attention.output": "layers.{i}.self_attn.o_proj",
    "layers.{i}.attention.queryNorm": "layers.{i}.self_attn.q_norm",
    "layers.{i}.attention.keyNorm": "layers.{i}.self_attn.k_norm",
    "layers.{i}.mlp.up": "layers.{i}.mlp.up_proj",
    "layers.{i}.mlp.gate": "layers.{i}.mlp.gate_proj",
    "layers.{i}.mlp.down": "layers.{i}.mlp.down_proj",
    finalNorm: "norm",
  },
  output: ["lm_head"],
  ignored: [/^layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/, /^rotary_emb\.inv_freq$/],
} as const satisfies Partial<Family>;

export const llama: Family = {
  modelType: "llama",
  causalLM: "LlamaForCausalLM",
  classification: "LlamaForSequenceClassification",
  ...llamaNames,
  readBody: (config) => {
    return {
      ...llamaBody(config, { vocabulary: 32000, intermediate: 11008, positions: 2048, keyValueHeads: undefined }),
      ...readBiases(config),
    };
  },
};

/** The body that Llama and its kin have in common, without biases and without norms of queries and keys. */
export function llamaBody(config: Config, defaults: LlamaDefaults): Body {
  const hidden = count(config, ["hidden_size"], 4096);
  const heads = count(config, ["num_attention_heads"], 32);
  const headSize = count(config, ["head_dim"], defaults.headSize ?? wholeHeads(hidden, heads));
  const layers = layerCount(config, ["num_hidden_layers"], 32);
  const positions = count(config, ["max_position_embeddings"], defaults.positions);
  const { base = 10_000, share, interleaved } = defaults;
  const rotary = readRotary(config, { headSize, base, share, interleaved, positions });
  return {
    ...plain,
    rotary: [rotary],
    attention: sameAttention(layers, headSize, { rotary: 0 }),
    vocabulary: count(config, ["vocab_size"], defaults.vocabulary),
    hidden,
    layers,
    heads,
    keyValueHeads: readKeyValueHeads(config, heads, defaults.keyValueHeads),
    headSize,
    intermediate: count(config, ["intermediate_size"], defaults.intermediate),
    positions: reachOf(rotary, positions),
    embeddingSize: hidden,
    norm: "rms",
    normEpsilon: epsilon(config, "rms_norm_eps", defaults.epsilon ?? 1e-6),
    position: "rotary",
    activation: activation(config, "hidden_act", "silu"),
    gated: true,
    queryKeyValue: "separate",
    queryKeyValueBias: false,
    attentionOutputBias: false,
    mlpBias: false,
    tiedOutput: flag(config, "tie_word_embeddings", defaults.isTied ?? false),
    dropout: { embedding: 0, attention: dropout(config, "attention_dropout", 0), residual: 0 },
  };
}

/** `attention_bias` and `mlp_bias`, which several families have under these names. */
export function readBiases(config: Config): Pick<Body, "queryKeyValueBias" | "attentionOutputBias" | "mlpBias"> {
  const hasBias = flag(config, "attention_bias", false);
  return { queryKeyValueBias: hasBias, attentionOutputBias: hasBias, mlpBias: flag(config, "mlp_bias", false) };
}

/** JSON's null means as many as heads; silence means the family's default. */
export function readKeyValueHeads(config: Config, heads: number, fallback: number | undefined): number {
  const given = config["num_key_value_heads"];
  const groups = given === null ? heads : count(config, ["num_key_value_heads"], fallback ?? heads);
  if (heads % groups !== 0) {
    throw new AttributionError(
      "invalid",
      `Expected the ${heads} heads in config.json to be a multiple of its ${groups} key-value heads`,
    );
  }
  return groups;
}
