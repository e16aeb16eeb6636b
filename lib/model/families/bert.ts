// BERT (and all-MiniLM, whose configuration says "bert"): an encoder. Blocks that normalise their sums, learned positions, token
// types, a norm of the embeddings' sum. The classifier reads [CLS] through the pooler.
import {
  activation,
  count,
  dropout,
  epsilon,
  layerCount,
  onlyNeutral,
  setting,
  wholeHeads,
  type Config,
} from "../config/config-reader";
import { plain, sameAttention, type Body, type Family } from "./family";

/** The blocks' names, which RoBERTa shares. */
export const bertModules = {
  "embedding.token": "embeddings.word_embeddings",
  "embedding.position": "embeddings.position_embeddings",
  "embedding.type": "embeddings.token_type_embeddings",
  "embedding.norm": "embeddings.LayerNorm",
  "layers.{i}.attention.query": "encoder.layer.{i}.attention.self.query",
  "layers.{i}.attention.key": "encoder.layer.{i}.attention.self.key",
  "layers.{i}.attention.value": "encoder.layer.{i}.attention.self.value",
  "layers.{i}.attention.output": "encoder.layer.{i}.attention.output.dense",
  "layers.{i}.attentionNorm": "encoder.layer.{i}.attention.output.LayerNorm",
  "layers.{i}.mlp.up": "encoder.layer.{i}.intermediate.dense",
  "layers.{i}.mlp.down": "encoder.layer.{i}.output.dense",
  "layers.{i}.mlpNorm": "encoder.layer.{i}.output.LayerNorm",
} as const;

/** Blocks that normalise their sums, with biases everywhere, which DistilBERT shares. */
export const bertBlocks = {
  ...plain,
  causal: false,
  norm: "layer",
  normOrder: "post",
  finalNorm: false,
  embeddingNorm: true,
  position: "learned",
  queryKeyValue: "separate",
  queryKeyValueBias: true,
  attentionOutputBias: true,
  mlpBias: true,
  tiedOutput: true,
  outputBias: true,
} as const;

export const bert: Family = {
  modelType: "bert",
  maskedLM: "BertForMaskedLM",
  classification: "BertForSequenceClassification",
  prefixes: ["bert.", ""],
  modules: bertModules,
  output: ["cls.predictions.decoder"],
  heads: {
    maskedLM: {
      "head.dense": ["cls.predictions.transform.dense"],
      "head.norm": ["cls.predictions.transform.LayerNorm"],
      outputBias: ["cls.predictions.bias", "cls.predictions.decoder.bias"],
    },
    classification: { "head.dense": ["{prefix}pooler.dense"], score: ["classifier"] },
  },
  ignored: [/^embeddings\.position_ids$/, /^cls\.seq_relationship\.(weight|bias)$/],
  readBody: (config) => {
    const body = bertBody(config, { vocabulary: 30522, positions: 512, types: 2, epsilon: 1e-12 });
    const transform = { bias: true, norm: false } as const;
    return {
      ...body,
      headKinds: {
        maskedLM: { transform: { activation: body.activation, bias: true, norm: true } },
        classification: classifierOf(config, { ...transform, activation: "tanh" }),
      },
    };
  },
};

export interface BertDefaults {
  readonly vocabulary: number;
  readonly positions: number;
  readonly types: number;
  readonly epsilon: number;
  /** First row of the table of positions. */
  readonly offset?: number;
}

/** The body that BERT and RoBERTa have in common. */
export function bertBody(config: Config, defaults: BertDefaults): Body {
  onlyNeutral(config, {
    is_decoder: [false],
    position_embedding_type: ["absolute"],
    tie_word_embeddings: [true],
    embedding_size: [setting(config, "hidden_size") ?? 768],
  });
  const hidden = count(config, ["hidden_size"], 768);
  const heads = count(config, ["num_attention_heads"], 12);
  const layers = layerCount(config, ["num_hidden_layers"], 12);
  const headSize = wholeHeads(hidden, heads);
  const offset = defaults.offset ?? 0;
  return {
    ...bertBlocks,
    vocabulary: count(config, ["vocab_size"], defaults.vocabulary),
    hidden,
    layers,
    heads,
    keyValueHeads: heads,
    headSize,
    attention: sameAttention(layers, headSize),
    intermediate: count(config, ["intermediate_size"], 3072),
    positions: count(config, ["max_position_embeddings"], defaults.positions) - offset,
    positionOffset: offset,
    embeddingSize: hidden,
    tokenTypes: count(config, ["type_vocab_size"], defaults.types),
    normEpsilon: epsilon(config, "layer_norm_eps", defaults.epsilon),
    activation: activation(config, "hidden_act", "gelu"),
    dropout: {
      embedding: dropout(config, "hidden_dropout_prob", 0.1),
      attention: dropout(config, "attention_probs_dropout_prob", 0.1),
      residual: dropout(config, "hidden_dropout_prob", 0.1),
    },
  };
}

/** A classifier of the first token's state, with the dropout that config.json names. */
export function classifierOf(
  config: Config,
  transform: NonNullable<Body["headKinds"]>["classification"]["transform"],
): NonNullable<Body["headKinds"]>["classification"] {
  const usual = dropout(config, "hidden_dropout_prob", 0.1);
  return { readout: "first", transform, bias: true, dropout: dropout(config, "classifier_dropout", usual) };
}
