// ModernBERT: an encoder in today's form. Norms before attention and MLP (none before the first attention), no biases, a fused
// gated MLP, rotary embeddings of two bases, windows to both sides in two of three layers.
import type { Rotary } from "../../../types/architecture";
import {
  activation,
  count,
  dropout,
  epsilon,
  flag,
  layerCount,
  onlyNeutral,
  real,
  setting,
  unsupported,
  wholeHeads,
  type Config,
} from "../config/config-reader";
import { requestOf, scaledRotary } from "../config/rotary";
import { shown } from "../../errors";
import { plain, sameAttention, type Body, type Family } from "./family";
import { slidingLayers } from "./window";

export const modernbert: Family = {
  modelType: "modernbert",
  maskedLM: "ModernBertForMaskedLM",
  classification: "ModernBertForSequenceClassification",
  prefixes: ["model.", ""],
  modules: {
    "embedding.token": "embeddings.tok_embeddings",
    "embedding.norm": "embeddings.norm",
    "layers.{i}.attentionNorm": "layers.{i}.attn_norm",
    "layers.{i}.attention.qkv": "layers.{i}.attn.Wqkv",
    "layers.{i}.attention.output": "layers.{i}.attn.Wo",
    "layers.{i}.mlpNorm": "layers.{i}.mlp_norm",
    "layers.{i}.mlp.gateUp": "layers.{i}.mlp.Wi",
    "layers.{i}.mlp.down": "layers.{i}.mlp.Wo",
    finalNorm: "final_norm",
  },
  output: ["decoder"],
  heads: {
    maskedLM: { "head.dense": ["head.dense"], "head.norm": ["head.norm"], outputBias: ["decoder.bias"] },
    classification: { "head.dense": ["head.dense"], "head.norm": ["head.norm"], score: ["classifier"] },
  },
  ignored: [],
  readBody,
};

function readBody(config: Config): Body {
  onlyNeutral(config, { mlp_dropout: [0], tie_word_embeddings: [true] });
  const hidden = count(config, ["hidden_size"], 768);
  const heads = count(config, ["num_attention_heads"], 12);
  const layers = layerCount(config, ["num_hidden_layers"], 22);
  const headSize = wholeHeads(hidden, heads);
  const positions = count(config, ["max_position_embeddings"], 8192);
  const hasBias = flag(config, "attention_bias", false);
  const every = count(config, ["global_attn_every_n_layers"], 3);
  const isLocal = slidingLayers(config, layers, (layer) => layer % every !== 0);
  // `local_attention` counts both sides; a query sees half of it to each, and itself.
  const window = Math.floor(count(config, ["local_attention"], 128) / 2) + 1;
  return {
    ...plain,
    vocabulary: count(config, ["vocab_size"], 50368),
    hidden,
    layers,
    heads,
    keyValueHeads: heads,
    headSize,
    causal: false,
    rotary: readRotaries(config, headSize, positions),
    attention: sameAttention(layers, headSize).map((layer, i) => ({
      ...layer,
      window: isLocal[i] && window < positions ? window : 0,
      rotary: isLocal[i] ? 1 : 0,
    })),
    intermediate: count(config, ["intermediate_size"], 1152),
    positions,
    embeddingSize: hidden,
    norm: "layer",
    normEpsilon: epsilon(config, "norm_eps", 1e-5),
    normBias: flag(config, "norm_bias", false),
    firstAttentionNorm: false,
    embeddingNorm: true,
    position: "rotary",
    activation: activation(config, "hidden_activation", "gelu"),
    gated: true,
    fusedGate: true,
    queryKeyValue: "concatenated",
    queryKeyValueBias: hasBias,
    attentionOutputBias: hasBias,
    mlpBias: flag(config, "mlp_bias", false),
    tiedOutput: true,
    outputBias: flag(config, "decoder_bias", true),
    dropout: {
      embedding: dropout(config, "embedding_dropout", 0),
      attention: dropout(config, "attention_dropout", 0),
      residual: 0,
    },
    headKinds: readHeads(config),
  };
}

function readHeads(config: Config): NonNullable<Body["headKinds"]> {
  const transform = {
    activation: activation(config, "classifier_activation", "gelu"),
    bias: flag(config, "classifier_bias", false),
    norm: true,
  };
  const pooling = setting(config, "classifier_pooling") ?? "cls";
  if (pooling !== "cls" && pooling !== "mean") throw unsupported(`"classifier_pooling": ${shown(pooling)}`);
  return {
    maskedLM: { transform },
    classification: {
      readout: pooling === "cls" ? "first" : "mean",
      transform,
      bias: true,
      dropout: dropout(config, "classifier_dropout", 0),
    },
  };
}

/** Of layers without and with the window: nested by the layers' type in transformers 5, two bases in 4. */
function readRotaries(config: Config, headSize: number, positions: number): readonly Rotary[] {
  const nested = (setting(config, "rope_parameters") ?? {}) as Config;
  onlyNeutral(config, { rope_scaling: [] });
  const one = (type: string, name: string, fallback: number): Rotary => {
    const request = requestOf(`rope_parameters.${type}`, setting(nested, type) ?? {});
    const base = request.base ?? real(config, [name], fallback, 1, 1e15);
    return scaledRotary(config, request, { headSize, base, positions });
  };
  return [one("full_attention", "global_rope_theta", 160_000), one("sliding_attention", "local_rope_theta", 10_000)];
}
