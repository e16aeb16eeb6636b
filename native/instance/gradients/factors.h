// Per-instance gradients in factored form, as sums over the tokens t of an instance. The weights are frozen: nothing is
// summed over instances, no padding exists, and the backward ends at the lowest selected module.
//
//   linear   Σ_t g_t a_tᵀ   a the module's inputs (with a trailing 1 where it has a bias), g the gradients at its
//   outputs lookup   Σ_t e_t g_tᵀ   e the unit vector of the token's row in the table; a tied table has the head's Σ_t
//   g_t a_tᵀ besides norm     Σ_t g_t ⊙ x̂_t  x̂ the normalised values, summed over heads; then the bias's Σ_t g_t
#pragma once
#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <vector>

#include "instance/gradients/modules.h"
#include "model/batch.h"
#include "model/loss.h"

namespace attribution {

struct ModuleFactors {
  at::Tensor inputs;  // linear: [token, input]; lookup: [token] rows of the table; norm: undefined
  at::Tensor
      gradients;        // linear, lookup: [token, output]; norm: the tokens' parts [token, parameter], weight then bias
  at::Tensor instance;  // [token] place of the token's instance in the batch, rising
  bool bias = false;    // linear only
  ModuleKind kind = ModuleKind::linear;
  int64_t rows = 0;                               // lookup only: of the table
  std::shared_ptr<ModuleFactors> head = nullptr;  // a tied table's use as output projection, linear
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
