// Factored gradients with each token as an instance of its own.
#pragma once
#include "instance/gradients/factors.h"

namespace attribution {

/// Indices in the batch of the tokens that a module sees: all, a classifier's readout, or a causal LM's targets at the
/// head.
at::Tensor seen_tokens(const Architecture& architecture, const Batch& batch, bool head);
/// The factors with each token of the batch as an instance of its own.
Factors token_factors(const Factors& factors, const Model& model, const Batch& batch, const ModuleSelection& modules);

}  // namespace attribution
