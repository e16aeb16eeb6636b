// GPT-J: parallel blocks with one norm, interleaved rotary pairs in the first `rotary_dim` features, a bias of the output.
import {
  activation,
  count,
  dropout,
  epsilon,
  flag,
  layerCount,
  wholeHeads,
  wrong,
  type Config,
} from "../config/config-reader";
import { plain, sameAttention, type Body, type Family } from "./family";

export const gptj: Family = {
  modelType: "gptj",
  causalLM: "GPTJForCausalLM",
  classification: "GPTJForSequenceClassification",
  prefixes: ["transformer.", ""],
  modules: {
    "embedding.token": "wte",
    "layers.{i}.attentionNorm": "h.{i}.ln_1",
    "layers.{i}.attention.query": "h.{i}.attn.q_proj",
    "layers.{i}.attention.key": "h.{i}.attn.k_proj",
    "layers.{i}.attention.value": "h.{i}.attn.v_proj",
    "layers.{i}.attention.output": "h.{i}.attn.out_proj",
    "layers.{i}.mlp.up": "h.{i}.mlp.fc_in",
    "layers.{i}.mlp.down": "h.{i}.mlp.fc_out",
    finalNorm: "ln_f",
  },
  output: ["lm_head"],
  ignored: [/^h\.\d+\.attn\.(bias|masked_bias|embed_positions)$/],
  readBody,
};

function readBody(config: Config): Body {
  const hidden = count(config, ["n_embd", "hidden_size"], 4096);
  const heads = count(config, ["n_head", "num_attention_heads"], 16);
  const headSize = wholeHeads(hidden, heads);
  const layers = layerCount(config, ["n_layer", "num_hidden_layers"], 28);
  const size = config["rotary_dim"] === null ? headSize : count(config, ["rotary_dim"], 64);
  if (size % 2 !== 0 || size > headSize)
    throw wrong(["rotary_dim"], `an even number of at most the ${headSize} features of a head`, size);
  const shape = { factors: [], scale: 1, longest: 0, longFactors: [], longScale: 1, growth: 0 };
  return {
    ...plain,
    rotary: [{ size, base: 10_000, interleaved: true, ...shape }],
    attention: sameAttention(layers, headSize, { rotary: 0 }),
    vocabulary: count(config, ["vocab_size"], 50400),
    hidden,
    layers,
    heads,
    keyValueHeads: heads,
    headSize,
    intermediate: count(config, ["n_inner"], 4 * hidden),
    positions: count(config, ["n_positions", "max_position_embeddings"], 2048),
    embeddingSize: hidden,
    norm: "layer",
    normEpsilon: epsilon(config, "layer_norm_epsilon", 1e-5),
    position: "rotary",
    parallelResidual: true,
    sharedNorm: true,
    activation: activation(config, "activation_function", "gelu_new"),
    queryKeyValue: "separate",
    queryKeyValueBias: false,
    attentionOutputBias: false,
    mlpBias: true,
    tiedOutput: flag(config, "tie_word_embeddings", false),
    outputBias: true,
    dropout: {
      embedding: dropout(config, "embd_pdrop", 0),
      attention: dropout(config, "attn_pdrop", 0),
      residual: dropout(config, "resid_pdrop", 0),
    },
  };
}
