// Per-instance gradients in factored form. A linear module's gradient is Σ_t g_t a_tᵀ over the tokens t of an instance, a the module's
// inputs (with a trailing 1 where it has a bias) and g the gradients at its outputs. The weights are frozen: nothing is summed over
// instances, no padding exists, and the backward ends at the lowest selected module.
#pragma once
#include <ATen/ATen.h>

#include <functional>
#include <vector>

#include "instance/modules.h"
#include "model/batch.h"
#include "model/loss.h"

namespace attribution {

struct ModuleFactors {
  at::Tensor inputs;     // [token, input]
  at::Tensor gradients;  // [token, output]
  at::Tensor instance;   // [token] place of the token's instance in the batch, rising
  bool bias = false;
};

struct Factors {
  std::vector<ModuleFactors> modules;
  int64_t instances = 0;
};

/// First token of each instance and the end, [instance + 1].
std::vector<int64_t> token_offsets(const ModuleFactors& factors, int64_t instances);

/// A scalar whose gradients are taken, from the hidden states; it must run the head through the hooks.
using Objective = std::function<at::Tensor(const at::Tensor& hidden, const Hooks& hooks)>;
Factors factors_of(const Model& model, const Batch& batch, const ModuleSelection& modules, const Objective& objective);
/// Factors of each instance's loss gradient.
Factors gradient_factors(const Model& model, const Batch& batch, const ModuleSelection& modules, Reduction reduction);

/// Inner products of all pairs, [left instance, right instance].
at::Tensor pair_products(const Factors& left, const Factors& right);
/// Squared norm of each instance's gradient, [instance].
at::Tensor squared_norms(const Factors& factors);

/// The selected parameters of a model as one vector: module by module, weight [output, input] then bias.
int64_t parameter_width(const Model& model, const ModuleSelection& modules);
/// Each instance's gradient as such a vector, [instance, parameter].
at::Tensor dense_gradients(const Factors& factors);
/// Inner products of instances' gradients with dense vectors [vector, parameter]: [vector, instance].
at::Tensor vector_products(const at::Tensor& vectors, const Factors& factors);

}  // namespace attribution
