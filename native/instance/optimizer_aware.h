// Optimizer-aware similarity (LESS, Xia et al. 2024): the query's gradient against the step that Adam would take on a
// training instance, Γ = (β₁m + (1 − β₁)g) / √(β₂v + (1 − β₂)g² + ε). Exact: no projection.
#pragma once
#include "instance/gradient_similarity.h"

namespace attribution {

struct OptimizerAwareOptions : FeatureOptions {
  bool cosine = true;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

/// Adam's moments m and v in the places of a model's weights.
struct Moments {
  const Model& first;
  const Model& second;
};

/// [query, train] float. The cosine with a zero gradient is 0.
at::Tensor optimizer_aware_similarity(const Model& model, const Moments& moments, const Instances& train,
                                      const Instances& queries, const OptimizerAwareOptions& options,
                                      const Control& control);

/// Γ of the training instances [instance, parameter], some at a time; six vectors of the parameters' size must fit the
/// memory.
void for_adam_steps(const Model& model, const Moments& moments, const Instances& train,
                    const OptimizerAwareOptions& options, const Control& control,
                    const std::function<void(const std::vector<int64_t>& instances, const at::Tensor& steps)>& each);

}  // namespace attribution
