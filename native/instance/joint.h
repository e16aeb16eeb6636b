// Joint attribution: a score ⟨v, ∇L(z)⟩ split by the units whose own weights the gradient belongs to. Of an MLP's
// neuron: its rows of up and gate (with their biases) and its column of down. Of a head: its rows of query, key and
// value and its columns of the output projection; a shared key-value head is split evenly over its group. What belongs
// to no unit is the rest. The units' parts and the rest sum to the score: it is a split of the parameters.
//
//   rows     Σ_t g_t[u] (V x_t + v_b)[u]      columns     Σ_t (Vᵀ g_t)[u] x_t[u]
#pragma once
#include "instance/influence/influence.h"
#include "instance/joint_collector.h"

namespace attribution {

/// Of influence or, with the identity, of the inner product of gradients or its cosine.
Joint influence_units(const Model& model, const Instances& train, const Instances& sources, const Instances& targets,
                      const JointRequest& request, const InfluenceOptions& options, bool cosine,
                      const Control& control);

/// Scales that make inner products of features cosines: [source], [target] double. Undefined: none.
struct FeatureScales {
  at::Tensor sources, targets;
};
/// Of gradient features: `vectors` [source, width] are in the features' space.
Joint feature_units(const Model& model, const Instances& targets, const at::Tensor& vectors,
                    const JointRequest& request, const FeatureScales& scales, const FeatureSettings& settings,
                    int64_t batch_tokens, const Control& control);

}  // namespace attribution
