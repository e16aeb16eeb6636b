#include "model/weights.h"

namespace attribution {
namespace {

class Collector {
 public:
  explicit Collector(const Architecture& architecture) : a_(architecture) {}

  void tensor(const std::string& name, std::vector<int64_t> shape, at::Tensor& place) {
    weights.push_back({name, std::move(shape), &place});
  }

  void norm(const std::string& name, int64_t size, Norm& place) {
    tensor(name + ".weight", {size}, place.weight);
    if (a_.norm == NormKind::layer) tensor(name + ".bias", {size}, place.bias);
  }

  void linear(const std::string& name, int64_t output, int64_t input, bool bias, Linear& place, bool transposed) {
    place.transposed = transposed;
    tensor(name + ".weight", transposed ? std::vector<int64_t>{input, output} : std::vector<int64_t>{output, input},
           place.weight);
    if (bias) tensor(name + ".bias", {output}, place.bias);
    linears.push_back({name, &place});
  }

  void layer(const std::string& name, Layer& layer) {
    const bool t = a_.transposed_linears;
    norm(name + ".attentionNorm", a_.hidden, layer.attention_norm);
    if (a_.qkv == QkvLayout::separate) {
      linear(name + ".attention.query", a_.query_width(), a_.hidden, a_.qkv_bias, layer.query, t);
      linear(name + ".attention.key", a_.key_value_width(), a_.hidden, a_.qkv_bias, layer.key, t);
      linear(name + ".attention.value", a_.key_value_width(), a_.hidden, a_.qkv_bias, layer.value, t);
    } else {
      linear(name + ".attention.qkv", 3 * a_.query_width(), a_.hidden, a_.qkv_bias, layer.qkv, t);
    }
    if (a_.query_key_norm) {
      tensor(name + ".attention.queryNorm.weight", {a_.head_size}, layer.query_norm.weight);
      tensor(name + ".attention.keyNorm.weight", {a_.head_size}, layer.key_norm.weight);
    }
    linear(name + ".attention.output", a_.hidden, a_.query_width(), a_.attention_output_bias, layer.attention_output,
           t);
    norm(name + ".mlpNorm", a_.hidden, layer.mlp_norm);
    if (a_.gated) linear(name + ".mlp.gate", a_.intermediate, a_.hidden, a_.mlp_bias, layer.gate, t);
    linear(name + ".mlp.up", a_.intermediate, a_.hidden, a_.mlp_bias, layer.up, t);
    linear(name + ".mlp.down", a_.hidden, a_.intermediate, a_.mlp_bias, layer.down, t);
  }

  std::vector<WeightSlot> weights;
  std::vector<LinearSlot> linears;

 private:
  const Architecture& a_;
};

Collector collect(const Architecture& a, Weights& w) {
  Collector c(a);
  w.layers.resize(static_cast<size_t>(a.layers));
  c.tensor("embedding.token.weight", {a.vocabulary, a.embedding_size}, w.token_embedding);
  if (a.position == PositionKind::learned)
    c.tensor("embedding.position.weight", {a.position_offset + a.positions, a.hidden}, w.position_embedding);
  if (a.embedding_norm) c.norm("embedding.norm", a.hidden, w.embedding_norm);
  if (a.embedding_size != a.hidden)
    c.linear("embedding.projectIn", a.hidden, a.embedding_size, false, w.project_in, false);
  for (int64_t i = 0; i < a.layers; ++i) c.layer("layers." + std::to_string(i), w.layers[static_cast<size_t>(i)]);
  if (a.final_norm) c.norm("finalNorm", a.hidden, w.final_norm);
  if (a.embedding_size != a.hidden)
    c.linear("embedding.projectOut", a.embedding_size, a.hidden, false, w.project_out, false);
  if (a.head == HeadKind::causal_lm) {
    if (!a.tied_output) c.linear("output", a.vocabulary, a.embedding_size, a.output_bias, w.output, false);
  } else {
    c.linear("score", a.head == HeadKind::choice ? 1 : a.labels, a.embedding_size, false, w.score, false);
  }
  return c;
}

}  // namespace

std::vector<WeightSlot> slots(const Architecture& architecture, Weights& weights) {
  return collect(architecture, weights).weights;
}

std::vector<LinearSlot> linear_slots(const Architecture& architecture, Weights& weights) {
  return collect(architecture, weights).linears;
}

Linear head_linear(const Model& model) {
  if (model.architecture.head != HeadKind::causal_lm) return model.weights.score;
  if (model.architecture.tied_output) return {model.weights.token_embedding, {}, false};
  return model.weights.output;
}

std::string head_name(const Architecture& architecture) {
  return architecture.head == HeadKind::causal_lm ? "output" : "score";
}

}  // namespace attribution
