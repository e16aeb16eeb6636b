// What a decoder is made of, as data: the mirror of types/architecture.ts, where each field is explained.
#pragma once
#include <cstdint>
#include <string>

namespace attribution {

enum class NormKind { layer, rms };
enum class PositionKind { learned, rotary, alibi };
enum class Activation { relu, gelu, gelu_tanh, silu };
enum class QkvLayout { separate, concatenated, interleaved };
enum class HeadKind { causal_lm, classification, choice };

struct Architecture {
  std::string family;
  int64_t vocabulary = 0, hidden = 0, layers = 0, heads = 0, key_value_heads = 0, head_size = 0, intermediate = 0,
          positions = 0;
  int64_t embedding_size = 0;
  NormKind norm = NormKind::layer;
  double norm_epsilon = 1e-5;
  bool post_norm = false, final_norm = true, embedding_norm = false;
  PositionKind position = PositionKind::learned;
  int64_t position_offset = 0, rotary_size = 0;
  double rotary_base = 10000;
  bool parallel_residual = false;
  Activation activation = Activation::relu;
  bool gated = false;
  QkvLayout qkv = QkvLayout::separate;
  bool query_key_norm = false, qkv_bias = false, attention_output_bias = false, mlp_bias = false;
  bool transposed_linears = false, tied_output = false, output_bias = false;
  double embedding_dropout = 0, attention_dropout = 0, residual_dropout = 0;
  HeadKind head = HeadKind::causal_lm;
  int64_t labels = 0;

  int64_t query_width() const { return heads * head_size; }
  int64_t key_value_width() const { return key_value_heads * head_size; }
};

/// Refuses sizes that no model can have, so that nothing later divides by zero or overflows.
void validate(const Architecture& architecture);

}  // namespace attribution
