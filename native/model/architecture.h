// What a model is made of, as data: the mirror of types/architecture.ts, where each field is explained.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace attribution {

enum class NormKind { layer, rms };
enum class NormWeight { factor, offset, none };
enum class NormOrder { pre, output, both, post };
enum class PositionKind { learned, rotary, alibi };
enum class Activation { relu, gelu, gelu_tanh, silu, quick_gelu, squared_relu, tanh };
enum class QkvLayout { separate, concatenated, interleaved };
enum class QueryKeyNorm { none, head, projection };
enum class HeadKind { causal_lm, masked_lm, classification, choice };
/// What a classifier reads of a row: its last token, its first one, or the mean of all. A masked LM reads its mask.
enum class Readout { last, first, mean };

/// A rotary embedding: feature pair i of a token at position p turns by p · base^(-2i/size) · factors[i].
struct Rotary {
  int64_t size = 0;
  double base = 10000;
  bool interleaved = false;
  std::vector<double> factors = {};  // [size / 2]; empty: 1
  double scale = 1;                  // of cosines and sines
  // For rows of more than `longest` tokens, where that is above 0: other factors, or a base that grows with the row.
  int64_t longest = 0;
  std::vector<double> long_factors = {};
  double long_scale = 1, growth = 0;
};

/// What the attention of one layer does.
struct LayerAttention {
  int64_t window = 0;   // keys that a query sees, its own included; without causality to either side; 0: all
  double divisor = 1;   // of the scores
  int64_t rotary = -1;  // index in Architecture::rotary; -1: no rotation
};

/// Layers whose MLP is a mixture of experts: a router sends each token to some of them.
struct Mixture {
  int64_t experts = 0;        // of a layer; 0: the model is no mixture
  int64_t chosen = 0;         // experts that a token goes to
  int64_t width = 0;          // neurons of an expert
  int64_t shared = 0;         // neurons of the expert that every token goes to; 0: none
  bool renormalised = false;  // the chosen experts' weights are divided by their sum
  std::vector<bool> layers;   // [layer] whether it has experts
  int64_t dense = 0;          // neurons of the other layers
};

/// A low-rank adapter of a linear module: y = W x + scale · B (A x), A [rank, input], B [output, rank].
struct Adapter {
  std::string module;  // "layers.3.mlp.down"
  int64_t rank = 0;
  double scale = 1;
};

/// What the head does to a state before its projection: a linear module, an activation, where asked a norm.
struct HeadTransform {
  Activation activation = Activation::tanh;
  bool bias = false, norm = false;
};

struct Architecture {
  std::string family;
  int64_t vocabulary = 0, hidden = 0, layers = 0, heads = 0, key_value_heads = 0, head_size = 0, intermediate = 0,
          positions = 0;
  int64_t embedding_size = 0;
  int64_t token_types = 0;
  double embedding_scale = 1, residual_scale = 1;
  NormKind norm = NormKind::layer;
  double norm_epsilon = 1e-5;
  NormWeight norm_weight = NormWeight::factor;
  bool norm_bias = true;
  NormOrder norm_order = NormOrder::pre;
  bool first_attention_norm = true;
  bool final_norm = true, embedding_norm = false;
  PositionKind position = PositionKind::learned;
  int64_t position_offset = 0;
  std::vector<Rotary> rotary;
  bool causal = true;
  std::vector<LayerAttention> attention;  // [layer]
  double attention_cap = 0;
  bool parallel_residual = false, shared_norm = false;
  Activation activation = Activation::relu;
  bool gated = false, fused_gate = false;
  Mixture mixture;
  QkvLayout qkv = QkvLayout::separate;
  QueryKeyNorm query_key_norm = QueryKeyNorm::none;
  double qkv_clip = 0;
  bool qkv_bias = false, attention_output_bias = false, mlp_bias = false;
  bool transposed_linears = false, tied_output = false, output_bias = false;
  double logit_scale = 1, logit_cap = 0;
  double embedding_dropout = 0, attention_dropout = 0, residual_dropout = 0;
  HeadKind head = HeadKind::causal_lm;
  int64_t labels = 0;
  std::vector<Adapter> adapters;
  std::vector<std::string> adapter_saved;  // modules whose own weights belong to the adapter
  double adapter_dropout = 0;              // of what A reads
  Readout readout = Readout::last;
  std::optional<HeadTransform> head_transform;
  bool head_bias = false;
  double head_dropout = 0;

  int64_t query_width() const { return heads * head_size; }
  int64_t key_value_width() const { return key_value_heads * head_size; }
  const LayerAttention& layer_attention(int64_t layer) const { return attention[static_cast<size_t>(layer)]; }
  bool is_mixture() const { return mixture.experts > 0; }
  /// Whether the layer's MLP is a mixture of experts.
  bool has_experts(int64_t layer) const { return is_mixture() && mixture.layers[static_cast<size_t>(layer)]; }
  /// Neurons of a layer without experts.
  int64_t dense_width() const { return is_mixture() ? mixture.dense : intermediate; }
  /// Neurons that a token's MLP computes, at most.
  int64_t active_width() const;
  /// Whether a block's attention and MLP write to the residual what their output projections make, without a norm.
  bool writes_plainly() const { return norm_order == NormOrder::pre; }
  /// Whether a block normalises its input.
  bool norms_input() const { return norm_order == NormOrder::pre || norm_order == NormOrder::both; }
  /// Whether the attention of a layer reads its input through a norm.
  bool norms_attention(int64_t layer) const { return norms_input() && (first_attention_norm || layer > 0); }
  /// Whether a block normalises what its attention and MLP write.
  bool norms_output() const { return norm_order == NormOrder::output || norm_order == NormOrder::both; }
  /// Whether the head's classes are the tokens of the vocabulary.
  bool predicts_tokens() const { return head == HeadKind::causal_lm || head == HeadKind::masked_lm; }
  /// Whether a tied output projection has a bias, which is then a module of its own.
  bool has_tied_bias() const { return predicts_tokens() && tied_output && output_bias; }
  /// Whether a language model's logits are more than the head's product.
  bool transforms_logits() const { return predicts_tokens() && (logit_scale != 1 || logit_cap != 0); }
};

/// Every layer with the plain attention: no window, scores divided by √(head size), the first rotary embedding if any.
std::vector<LayerAttention> plain_attention(const Architecture& architecture);

/// Refuses sizes that no model can have, so that nothing later divides by zero or overflows.
void validate(const Architecture& architecture);

}  // namespace attribution
