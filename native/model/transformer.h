// The one transformer, for every family, with causality or without. A block, sequential (left) or parallel (right):
//
//   x ─ attention norm ─ heads ─ output ─ + ─ mid            x ─┬ attention norm ─ heads ─ output ─┐
//   mid ─ mlp norm ─ neurons ─ down ────── + ─ out              └ mlp norm ─ neurons ─ down ───────┴ + ─ out
//
// The architecture says where a block normalises: its inputs, as drawn; what it adds to the residual; both; or the
// sums. A parallel block may have one norm for both. The pieces are functions of their own, so that the prefix cache
// runs the same block.
#pragma once
#include <ATen/ATen.h>

#include "model/activation.h"
#include "model/attention.h"
#include "model/batch.h"
#include "model/experts.h"
#include "model/finite.h"
#include "model/hooks.h"

namespace attribution {

/// Tokens, positions and token types together, [token, hidden]; `embed` normalises their sum where the model does.
at::Tensor summed_embeddings(const Model& model, const Batch& batch, const Hooks& hooks);
at::Tensor normed_embeddings(const Model& model, const at::Tensor& sum, const Hooks& hooks);
at::Tensor embed(const Model& model, const Batch& batch, const Hooks& hooks);  // [token, hidden]
at::Tensor attention_input(const Model& model, int64_t layer, const at::Tensor& x, const Hooks& hooks = {});
/// The residual after the attention, of heads [token, head * feature].
at::Tensor after_attention(const Model& model, int64_t layer, const at::Tensor& x, const at::Tensor& heads,
                           const Hooks& hooks);
/// What a block's MLP may read, [token, hidden].
struct MlpSource {
  at::Tensor x;                     // the block's input
  at::Tensor mid;                   // the residual after its attention
  at::Tensor attention_input = {};  // x through the attention's norm, where that is at hand
};
/// What the MLP's first projections read of it.
at::Tensor mlp_input(const Model& model, int64_t layer, const MlpSource& source, const Hooks& hooks);
/// The MLP's neurons.
Neurons neurons(const Model& model, int64_t layer, const MlpSource& source, const Hooks& hooks);
/// What comes out of the MLP's output projection, or of those of its experts, [token, hidden].
at::Tensor project_neurons(const Model& model, int64_t layer, const Neurons& neurons, const Hooks& hooks = {});
/// The block's output.
at::Tensor after_mlp(const Model& model, int64_t layer, const at::Tensor& mid, const Neurons& neurons,
                     const Hooks& hooks);
/// The same two sums, of an output already projected: the attention's, the MLP's.
at::Tensor add_attention(const Model& model, int64_t layer, const at::Tensor& x, const at::Tensor& projected,
                         const Hooks& hooks = {});
at::Tensor add_mlp(const Model& model, int64_t layer, const at::Tensor& mid, const at::Tensor& projected,
                   const Hooks& hooks = {});
/// Final norm and projection: what the head reads, [token, embedding].
at::Tensor finish(const Model& model, const at::Tensor& x, const Hooks& hooks = {});

/// The hidden states that the head reads, for every token of the batch.
at::Tensor forward(const Model& model, const Batch& batch, const Hooks& hooks = {}, NotFinite rule = NotFinite::refuse);
/// All blocks, from embeddings already made; before the final norm.
at::Tensor forward_from(const Model& model, const Batch& batch, at::Tensor x, const Hooks& hooks);

}  // namespace attribution
