// Principal directions of what a module reads and of the gradients at its outputs: the projections of
// ProjectionKind::pca (the initialisation that Choe et al. 2024 propose for LoGra).
#pragma once
#include "core/control.h"
#include "instance/features/gradient_features.h"

namespace attribution {

/// For every side of a selected module that is longer than the rank, input before output: the first `rank` eigenvectors
/// of Σ_t x_t x_tᵀ over the tokens of all instances (not centred), [rank, width] each; for a norm with more than rank²
/// numbers the first rank² of Σ v vᵀ over the instances' gradients. One after the other, flat; largest first, each with
/// its largest entry positive. Holds the covariances of all modules: width² floats a side. Refuses embeddings.
at::Tensor principal_directions(const Model& model, const Instances& instances, const FeatureSettings& settings,
                                int64_t batch_tokens, const Control& control);

}  // namespace attribution
