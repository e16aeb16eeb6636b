// The loss under labels that the model draws itself: what the true Fisher information is made of (the empirical one
// takes the gold labels).
#pragma once
#include "instance/gradients/factors.h"

namespace attribution {

/// One label per row, by the inverse of the cumulated probabilities: probabilities [row, class] and draws [row] within
/// 0–1 → [row].
at::Tensor drawn_labels(const at::Tensor& probabilities, const at::Tensor& draws);

/// The summed loss of a batch under drawn labels. A draw depends on (seed, instance, token) only: the same in every
/// batch and pass.
Objective sampled_objective(const Model& model, const Batch& batch, Reduction reduction, int64_t seed);

}  // namespace attribution
