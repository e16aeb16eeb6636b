// Per-instance gradients in factored form (see module_factors.h) of the selected modules together. The weights are
// frozen, and the backward ends at the lowest selected module.
#pragma once
#include <ATen/ATen.h>

#include <functional>
#include <vector>

#include "instance/gradients/module_factors.h"
#include "model/batch.h"
#include "model/loss.h"

namespace attribution {

/// What an objective needs of its forward: hooks around the taps', and the instance of each token that the head reads.
struct Watch {
  std::function<void(Hooks&)> attach;
  std::function<at::Tensor()> head_instance;
};
/// A scalar whose gradients are taken, from the hidden states; it must run the head through the hooks.
using Objective = std::function<at::Tensor(const at::Tensor& hidden, const Hooks& hooks)>;
Factors factors_of(const Model& model, const Batch& batch, const ModuleSelection& modules, const Objective& objective,
                   const Watch& watch = {});
/// Factors of each instance's loss gradient.
Factors gradient_factors(const Model& model, const Batch& batch, const ModuleSelection& modules, Reduction reduction);
/// Bytes of a token's factors.
int64_t factor_bytes(const Model& model, const ModuleSelection& modules);

/// Inner products of all pairs, [left instance, right instance].
at::Tensor pair_products(const Factors& left, const Factors& right);
/// Squared norm of each instance's gradient, [instance].
at::Tensor squared_norms(const Factors& factors);

/// The selected parameters of a model as one vector: module by module, weight [output, input], [row, feature] or
/// [feature], then bias.
int64_t parameter_width(const Model& model, const ModuleSelection& modules);
/// Each instance's gradient as such a vector, [instance, parameter].
at::Tensor dense_gradients(const Factors& factors);
/// Inner products of instances' gradients with dense vectors [vector, parameter]: [vector, instance].
at::Tensor vector_products(const at::Tensor& vectors, const Factors& factors);

}  // namespace attribution
