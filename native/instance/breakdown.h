// A score split into parts that sum to it. Every method's score is ⟨v, ∇L(z)⟩ with v the other side's gradient under
// the method's matrix, and ∇L(z) is a sum over modules m and tokens t: Σ_m Σ_t g_tᵀ V_m a_t. So a module's part takes
// its own terms, and a token's part those of its inputs and output gradients. A module that sees some tokens only (the
// head) has no terms at the others.
#pragma once
#include "instance/features/gradient_features.h"
#include "instance/gradients/factors.h"
#include "instance/influence/options.h"
#include "instance/optimizer_aware.h"

namespace attribution {

enum class Parts {
  modules,       // of the instance's gradient, in the order of the forward
  tokens,        // of the instance's gradient, in the order of its rows
  vector_tokens  // of the gradient that v is made of; needs no symmetry of the method's matrix, but a vector for each
                 // token
};

/// Entry i pairs the vector of source sources[i] with the gradient of target targets[i].
struct BreakdownPairs {
  std::vector<int64_t> sources, targets;
};

/// Parts of influence or, with the identity, of the inner product of gradients; `cosine` divides them by both norms. Of
/// all pairs, one after the other, double: one for each module, token of the target, or token of the source.
at::Tensor influence_parts(const Model& model, const Instances& train, const Instances& sources,
                           const Instances& targets, const BreakdownPairs& pairs, Parts parts,
                           const InfluenceOptions& options, bool cosine, const Control& control);

/// The same with Adam's steps on the training instances (the sources) as vectors: by module, or by token of the query.
at::Tensor optimizer_aware_parts(const Model& model, const Moments& moments, const Instances& train,
                                 const Instances& queries, const BreakdownPairs& pairs, Parts parts,
                                 const OptimizerAwareOptions& options, const Control& control);

/// The same of gradient features: `vectors` [source, width] are in the features' space.
at::Tensor feature_parts(const Model& model, const Instances& targets, const at::Tensor& vectors,
                         const BreakdownPairs& pairs, Parts parts, const FeatureSettings& settings,
                         const Control& control);

}  // namespace attribution
