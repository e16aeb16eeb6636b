// The weights of a decoder, each exactly one tensor of the checkpoint in the checkpoint's own layout. `visit` is the
// one list of their names: loading, saving, hashing and selecting parameters all go through it.
#pragma once
#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <vector>

#include "model/architecture.h"

namespace attribution {

struct Linear {
  at::Tensor weight;        // [output, input], or [input, output] where transposed
  at::Tensor bias;          // [output] or undefined
  bool transposed = false;  // GPT-2's Conv1D

  at::Tensor matrix() const { return transposed ? weight.t() : weight; }  // [output, input]
};

struct Norm {
  at::Tensor weight, bias;  // [feature]; bias undefined for RMS
};

struct Layer {
  Norm attention_norm, mlp_norm;
  Linear qkv;                // fused
  Linear query, key, value;  // or separate
  Norm query_norm, key_norm;
  Linear attention_output;
  Linear up, gate, down;
};

struct Weights {
  at::Tensor token_embedding;     // [vocabulary, embedding]
  at::Tensor position_embedding;  // [offset + positions, hidden]
  Norm embedding_norm;
  Linear project_in, project_out;
  std::vector<Layer> layers;
  Norm final_norm;
  Linear output;  // causal LM, untied
  Linear score;   // classification, choice
};

struct WeightSlot {
  std::string name;
  std::vector<int64_t> shape;
  at::Tensor* tensor;
};

/// Every weight that the architecture has, in stored order, with its shape and its place.
std::vector<WeightSlot> slots(const Architecture& architecture, Weights& weights);

/// A linear module by name ("layers.3.mlp.down", "score"), for gradients per module.
struct LinearSlot {
  std::string name;
  Linear* linear;
};
std::vector<LinearSlot> linear_slots(const Architecture& architecture, Weights& weights);

struct Model {
  Architecture architecture;
  Weights weights;
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;

  at::TensorOptions options() const { return at::TensorOptions().dtype(dtype).device(device); }
};

/// The projection from hidden states to logits: the untied output, the tied embedding, or the score head.
Linear head_linear(const Model& model);
/// That module's name.
std::string head_name(const Architecture& architecture);

}  // namespace attribution
