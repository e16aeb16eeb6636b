// What a model says at the end: logits, class scores of an instance, losses, and the target F of neuron attribution.
#pragma once
#include <ATen/ATen.h>

#include "model/batch.h"
#include "model/finite.h"
#include "model/frozen_head.h"
#include "model/hooks.h"

namespace attribution {

/// What the head's projection reads of hidden states [n, embedding]: its transform of them, or the states.
at::Tensor head_states(const Model& model, const at::Tensor& hidden, const Hooks& hooks = {});

/// Logits of hidden states [n, embedding] → [n, vocabulary or labels or 1], in float (double for float64); a language
/// model's scaled and capped as its architecture says.
at::Tensor head_logits(const Model& model, const at::Tensor& hidden, const Hooks& hooks = {});

/// One row of class scores per instance, [instance, class]: a choice's rows side by side, -inf where an instance has
/// fewer. `row_logits` [row, width] are the logits at the rows' readout positions.
at::Tensor class_logits(const Architecture& architecture, const at::Tensor& row_logits, const Batch& batch);
at::Tensor readout_class_logits(const Model& model, const at::Tensor& hidden, const Batch& batch,
                                const Hooks& hooks = {});

/// How a causal LM's token losses make the instance's loss.
enum class Reduction { sum, mean };

/// Cross-entropy of each hidden state, [n]. Differentiable; where the head is frozen, without all logits at once.
at::Tensor token_losses(const Model& model, const at::Tensor& hidden, const TokenTargets& targets,
                        const Hooks& hooks = {});

/// Loss of each instance, [instance]: cross-entropy of the label, or of a language model's target tokens. An instance
/// without label or target has loss 0. Differentiable.
at::Tensor instance_losses(const Model& model, const at::Tensor& hidden, const Batch& batch, Reduction reduction,
                           const Hooks& hooks = {}, NotFinite rule = NotFinite::refuse);
/// Target tokens of each instance (1 with a label, 0 without), [instance] as int64.
at::Tensor target_counts(const Architecture& architecture, const Batch& batch);

enum class TargetKind { probability, log_probability, logit };

/// F of each row of class scores [n, class] for its label [n]; with `contrast` [n] defined, F(label) − F(contrast).
at::Tensor target_values(const at::Tensor& class_scores, TargetKind kind, const at::Tensor& labels,
                         const at::Tensor& contrast);

}  // namespace attribution
