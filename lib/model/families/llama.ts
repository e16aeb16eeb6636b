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
  onlyNeutral,
  real,
  rotary,
  wholeHeads,
  type Config,
} from "../config/config-reader";
import { plain, type Body, type Family } from "./family";

/** Sizes that transformers assumes where config.json is silent. */
export interface LlamaDefaults {
  readonly vocabulary: number;
  readonly intermediate: number;
  readonly positions: number;
  readonly keyValueHeads: number | undefined;
  readonly headSize?: number;
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
    const hasAttentionBias = flag(config, "attention_bias", false);
    return {
      ...llamaBody(config, { vocabulary: 32000, intermediate: 11008, positions: 2048, keyValueHeads: undefined }),
      queryKeyValueBias: hasAttentionBias,
      attentionOutputBias: hasAttentionBias,
      mlpBias: flag(config, "mlp_bias", false),
    };
  },
};

/** The body that Llama and its kin have in common, without biases and without norms of queries and keys. */
export function llamaBody(config: Config, defaults: LlamaDefaults): Body {
  const hidden = count(config, ["hidden_size"], 4096);
  const heads = count(config, ["num_attention_heads"], 32);
  const headSize = count(config, ["head_dim"], defaults.headSize ?? wholeHeads(hidden, heads));
  if (headSize % 2 !== 0)
    throw new AttributionError(
      "unsupported",
      `config.json has heads of ${headSize} features; rotary embeddings need an even number`,
    );
  return {
    ...plain,
    ...readRotary(config, headSize),
    vocabulary: count(config, ["vocab_size"], defaults.vocabulary),
    hidden,
    layers: layerCount(config, ["num_hidden_layers"], 32),
    heads,
    keyValueHeads: readKeyValueHeads(config, heads, defaults.keyValueHeads),
    headSize,
    intermediate: count(config, ["intermediate_size"], defaults.intermediate),
    positions: count(config, ["max_position_embeddings"], defaults.positions),
    embeddingSize: hidden,
    norm: "rms",
    normEpsilon: epsilon(config, "rms_norm_eps", 1e-6),
    position: "rotary",
    activation: activation(config, "hidden_act", "silu"),
    gated: true,
    queryKeyValue: "separate",
    queryKeyValueBias: false,
    attentionOutputBias: false,
    mlpBias: false,
    tiedOutput: flag(config, "tie_word_embeddings", false),
    dropout: { embedding: 0, attention: dropout(config, "attention_dropout", 0), residual: 0 },
  };
}

function readRotary(config: Config, headSize: number): { rotarySize: number; rotaryBase: number } {
  const { base, share } = rotary(config);
  onlyNeutral(
    { ...config, partial_rotary_factor: share ?? config["partial_rotary_factor"] },
    { partial_rotary_factor: [1] },
  );
  return { rotarySize: headSize, rotaryBase: base ?? real(config, ["rope_theta"], 10_000, 1, 1e15) };
}

/** JSON's null means as many as heads; silence means the family's default. */
function readKeyValueHeads(config: Config, heads: number, fallback: number | undefined): number {
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
