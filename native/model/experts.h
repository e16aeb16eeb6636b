// A mixture of experts as a block's MLP. A router gives each token to some of the experts; an expert multiplies all of
// its tokens together. A neuron of the layer is a neuron of one expert, and the layer's neurons are all experts' side
// by side, then the shared expert's. An expert that a token does not go to has no neurons for it: they are 0, and
// whatever takes their place writes nothing.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "model/hooks.h"

namespace attribution {

/// Where each token goes, and by what number that which an expert writes is multiplied.
struct Routing {
  at::Tensor chosen;   // [token, choice] experts
  at::Tensor weights;  // [token, choice]
  at::Tensor shared;   // [token, 1] of the shared expert; undefined without one

  bool defined() const { return chosen.defined(); }
  /// Of some tokens.
  Routing at(const at::Tensor& tokens) const;
};

/// The tokens' choices sorted by expert, those of an expert by token.
struct Visits {
  at::Tensor order;              // [visit] token * choices + choice
  at::Tensor place;              // [token * choices] its visit
  at::Tensor tokens;             // [visit]
  std::vector<int64_t> offsets;  // [expert + 1]
};

/// The neurons of an MLP: of a layer without experts [token, unit], else of each expert what its tokens make.
struct Neurons {
  at::Tensor values = {};
  Routing routing = {};
  Visits visits = {};
  std::vector<at::Tensor> experts = {};  // [visit of the expert, unit]
  at::Tensor shared = {};                // [token, unit]
};

/// The neurons of a layer with experts, of what its MLP reads.
Neurons expert_neurons(const Model& model, int64_t layer, const at::Tensor& input, const Hooks& hooks);
/// Σ of what each token's experts write, times its weights, [token, hidden].
at::Tensor project_experts(const Model& model, int64_t layer, const Neurons& neurons, const Hooks& hooks);

/// All neurons of a layer side by side, [token, intermediate]; of the given tokens, or of all. Those that a layer lacks
/// are 0.
at::Tensor unit_values(const Architecture& architecture, const Neurons& neurons, const at::Tensor& tokens = {});
/// The inverse: values [token, intermediate] as the neurons of tokens that go where `routing` says.
Neurons neurons_of_units(const Architecture& architecture, int64_t layer, const at::Tensor& values,
                         const Routing& routing);
/// By what number that which each unit writes is multiplied, [token, intermediate].
at::Tensor unit_weights(const Architecture& architecture, const Routing& routing);
/// The transpose of `project_experts` in the neurons: gradients [token, hidden] as those of the units [token,
/// intermediate].
at::Tensor units_of_gradients(const Model& model, int64_t layer, const at::Tensor& gradients, const Routing& routing);

}  // namespace attribution
