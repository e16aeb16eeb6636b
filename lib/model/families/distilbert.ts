// DistilBERT: BERT's blocks without token types and without pooler, under other names.
import { activation, count, dropout, layerCount, onlyNeutral, wholeHeads, type Config } from "../config/config-reader";
import { bertBlocks } from "./bert";
import { sameAttention, type Body, type Family } from "./family";

export const distilbert: Family = {
  modelType: "distilbert",
  maskedLM: "DistilBertForMaskedLM",
  classification: "DistilBertForSequenceClassification",
  prefixes: ["distilbert.", ""],
  modules: {
    "embedding.token": "embeddings.word_embeddings",
    "embedding.position": "embeddings.position_embeddings",
    "embedding.norm": "embeddings.LayerNorm",
    "layers.{i}.attention.query": "transformer.layer.{i}.attention.q_lin",
    "layers.{i}.attention.key": "transformer.layer.{i}.attention.k_lin",
    "layers.{i}.attention.value": "transformer.layer.{i}.attention.v_lin",
    "layers.{i}.attention.output": "transformer.layer.{i}.attention.out_lin",
    "layers.{i}.attentionNorm": "transformer.layer.{i}.sa_layer_norm",
    "layers.{i}.mlp.up": "transformer.layer.{i}.ffn.lin1",
    "layers.{i}.mlp.down": "transformer.layer.{i}.ffn.lin2",
    "layers.{i}.mlpNorm": "transformer.layer.{i}.output_layer_norm",
  },
  output: ["vocab_projector"],
  heads: {
    maskedLM: {
      "head.dense": ["vocab_transform"],
      "head.norm": ["vocab_layer_norm"],
      outputBias: ["vocab_projector.bias"],
    },
    classification: { "head.dense": ["pre_classifier"], score: ["classifier"] },
  },
  ignored: [/^embeddings\.position_ids$/],
  readBody,
};

function readBody(config: Config): Body {
  onlyNeutral(config, { tie_word_embeddings: [true], tie_weights_: [true] });
  const hidden = count(config, ["dim", "hidden_size"], 768);
  const heads = count(config, ["n_heads", "num_attention_heads"], 12);
  const layers = layerCount(config, ["n_layers", "num_hidden_layers"], 6);
  const headSize = wholeHeads(hidden, heads);
  const kind = activation(config, "activation", "gelu");
  return {
    ...bertBlocks,
    vocabulary: count(config, ["vocab_size"], 30522),
    hidden,
    layers,
    heads,
    keyValueHeads: heads,
    headSize,
    attention: sameAttention(layers, headSize),
    intermediate: count(config, ["hidden_dim"], 4 * 768),
    positions: count(config, ["max_position_embeddings"], 512),
    embeddingSize: hidden,
    normEpsilon: 1e-12,
    activation: kind,
    dropout: {
      embedding: dropout(config, "dropout", 0.1),
      attention: dropout(config, "attention_dropout", 0.1),
      residual: dropout(config, "dropout", 0.1),
    },
    headKinds: {
      maskedLM: { transform: { activation: kind, bias: true, norm: true } },
      classification: {
        readout: "first",
        transform: { activation: "relu", bias: true, norm: false },
        bias: true,
        dropout: dropout(config, "seq_classif_dropout", 0.2),
      },
    },
  };
}
