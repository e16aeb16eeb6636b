// What a decoder is made of, as data: the mirror of types/architecture.ts, where each field is explained.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace attribution {

enum class NormKind { layer, rms };
enum class NormWeight { factor, offset, none };
enum class NormOrder { pre, output, both, post };
enum class PositionKind { learned, rotary, alibi };
enum class Activation { relu, gelu, gelu_tanh, silu, quick_gelu, squared_relu };
enum class QkvLayout { separate, concatenated, interleaved };
enum class QueryKeyNorm { none, head, projection };
enum class HeadKind { causal_lm, classification, choice };

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
  int64_t window = 0;   // keys that a query sees, its own included; 0: all
  double divisor = 1;   // of the scores
  int64_t rotary = -1;  // index in Architecture::rotary; -1: no rotation
};

struct Architecture {
  std::string family;
  int64_t vocabulary = 0, hidden = 0, layers = 0, heads = 0, key_value_heads = 0, head_size = 0, intermediate = 0,
          positions = 0;
  int64_t embedding_size = 0;
  double embedding_scale = 1, residual_scale = 1;
  NormKind norm = NormKind::layer;
  double norm_epsilon = 1e-5;
  NormWeight norm_weight = NormWeight::factor;
  bool norm_bias = true;
  NormOrder norm_order = NormOrder::pre;
  bool final_norm = true, embedding_norm = false;
  PositionKind position = PositionKind::learned;
  int64_t position_offset = 0;
  std::vector<Rotary> rotary;
  std::vector<LayerAttention> attention;  // [layer]
  double attention_cap = 0;
  bool parallel_residual = false, shared_norm = false;
  Activation activation = Activation::relu;
  bool gated = false, fused_gate = false;
  QkvLayout qkv = QkvLayout::separate;
  QueryKeyNorm query_key_norm = QueryKeyNorm::none;
  double qkv_clip = 0;
  bool qkv_bias = false, attention_output_bias = false, mlp_bias = false;
  bool transposed_linears = false, tied_output = false, output_bias = false;
  double logit_scale = 1, logit_cap = 0;
  double embedding_dropout = 0, attention_dropout = 0, residual_dropout = 0;
  HeadKind head = HeadKind::causal_lm;
  int64_t labels = 0;

  int64_t query_width() const { return heads * head_size; }
  int64_t key_value_width() const { return key_value_heads * head_size; }
  const LayerAttention& layer_attention(int64_t layer) const { return attention[static_cast<size_t>(layer)]; }
  /// Whether a block's attention and MLP write to the residual what their output projections make, without a norm.
  bool writes_plainly() const { return norm_order == NormOrder::pre; }
  /// Whether a block normalises its input.
  bool norms_input() const { return norm_order == NormOrder::pre || norm_order == NormOrder::both; }
  /// Whether a block normalises what its attention and MLP write.
  bool norms_output() const { return norm_order == NormOrder::output || norm_order == NormOrder::both; }
  /// Whether a language model's logits are more than the head's product.
  bool transforms_logits() const { return head == HeadKind::causal_lm && (logit_scale != 1 || logit_cap != 0); }
};

/// Every layer with the plain attention: no window, scores divided by √(head size), the first rotary embedding if any.
std::vector<LayerAttention> plain_attention(const Architecture& architecture);

/// Refuses sizes that no model can have, so that nothing later divides by zero or overflows.
void validate(const Architecture& architecture);

}  // namespace attribution
