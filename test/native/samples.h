// Small random models and instances for the C++ tests.
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "model/batch.h"
#include "model/checkpoint.h"

namespace attribution::test {

/// A decoder of two layers; the caller changes what it is about.
inline Architecture small_architecture() {
  Architecture a;
  a.family = "test";
  a.vocabulary = 30;
  a.hidden = a.embedding_size = 16;
  a.layers = 2;
  a.heads = a.key_value_heads = 4;
  a.head_size = 4;
  a.intermediate = 24;
  a.positions = 32;
  a.activation = Activation::gelu;
  a.qkv_bias = a.attention_output_bias = a.mlp_bias = true;
  a.head = HeadKind::classification;
  a.labels = 3;
  return a;
}

/// The newer building blocks, spread over three architectures.
inline Architecture capped_architecture() {
  Architecture a = small_architecture();
  a.position = PositionKind::rotary;
  a.rotary = {{4, 10000}, {4, 100, false, {0.5, 0.25}, 1.2, 4, {0.3, 0.1}, 1.4}};
  a.attention = {{3, 2.5, 0}, {0, 2.5, 1}};
  a.attention_cap = 2;
  a.norm = NormKind::rms;
  a.norm_weight = NormWeight::offset;
  a.norm_order = NormOrder::both;
  a.embedding_scale = 3;
  a.gated = true;
  a.key_value_heads = 2;
  a.query_key_norm = QueryKeyNorm::head;
  a.qkv_bias = a.attention_output_bias = a.mlp_bias = false;
  return a;
}

inline Architecture parallel_architecture() {
  Architecture a = small_architecture();
  a.position = PositionKind::rotary;
  a.rotary = {{2, 10000, true}};
  a.attention = {{2, 2, 0}, {0, 3, -1}};
  a.parallel_residual = a.shared_norm = true;
  a.norm_bias = false;
  a.key_value_heads = 2;
  a.qkv = QkvLayout::interleaved;
  a.activation = Activation::squared_relu;
  return a;
}

inline Architecture output_norm_architecture() {
  Architecture a = small_architecture();
  a.position = PositionKind::rotary;
  a.rotary = {{4, 10000, false, {}, 1, 3, {}, 1, 2}};
  a.norm = NormKind::rms;
  a.norm_order = NormOrder::output;
  a.query_key_norm = QueryKeyNorm::projection;
  a.gated = a.fused_gate = true;
  a.residual_scale = 0.5;
  a.qkv_clip = 0.4;
  a.activation = Activation::quick_gelu;
  a.qkv_bias = a.attention_output_bias = a.mlp_bias = false;
  return a;
}

/// An encoder as BERT is, with its classifier.
inline Architecture encoder_architecture() {
  Architecture a = small_architecture();
  a.causal = false;
  a.token_types = 2;
  a.embedding_norm = true;
  a.norm_order = NormOrder::post;
  a.final_norm = false;
  a.readout = Readout::first;
  a.head_transform = {Activation::tanh, true, false};
  a.head_bias = true;
  return a;
}

/// An encoder as ModernBERT is, with windows to both sides.
inline Architecture modern_encoder_architecture() {
  Architecture a = small_architecture();
  a.causal = false;
  a.position = PositionKind::rotary;
  a.rotary = {{4, 10000}, {4, 100}};
  a.attention = {{0, 2, 0}, {2, 2, 1}};
  a.embedding_norm = true;
  a.norm_bias = a.first_attention_norm = false;
  a.qkv = QkvLayout::concatenated;
  a.gated = a.fused_gate = true;
  a.qkv_bias = a.attention_output_bias = a.mlp_bias = false;
  a.readout = Readout::first;
  a.head_transform = {Activation::gelu, false, true};
  a.head_bias = true;
  return a;
}

/// Where the architecture does not describe its layers' attention, it is the plain one.
inline Model small_model(Architecture a, at::ScalarType dtype = at::kDouble) {
  if (a.attention.empty()) a.attention = plain_attention(a);
  return create_model(a, dtype, at::kCPU, 7, 0.3, {});
}

struct OwnedInstances {
  std::vector<int32_t> tokens, row_offsets{0}, group_offsets{0}, labels, targets;
};

/// One row per instance, of the given lengths, all labels 0.
inline Instances instances_of(const std::vector<int>& lengths) {
  auto owner = std::make_shared<OwnedInstances>();
  for (size_t i = 0; i < lengths.size(); ++i) {
    for (int t = 0; t < lengths[i]; ++t) owner->tokens.push_back(static_cast<int32_t>((7 * i + 3 * t + 1) % 30));
    owner->row_offsets.push_back(static_cast<int32_t>(owner->tokens.size()));
    owner->group_offsets.push_back(static_cast<int32_t>(i + 1));
    owner->labels.push_back(0);
  }
  return {owner->tokens, owner->row_offsets, owner->group_offsets, owner->labels, owner->targets, owner};
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace attribution::test
