// Influence of each training instance on itself, ∇L(z)ᵀ (H + λI)⁻¹ ∇L(z): the diagonal of what `influence` gives of a
// training set with itself, without the rest of the matrix.
#pragma once
#include "instance/influence/influence.h"

namespace attribution {

/// `scores` [train] float; the identity: squared norms of gradients.
Influence self_influence(const Model& model, const Instances& train, const InfluenceOptions& options,
                         const Control& control);

}  // namespace attribution
