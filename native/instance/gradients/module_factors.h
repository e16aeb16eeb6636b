// A module's per-instance gradients in factored form, as sums over the tokens t of an instance. Nothing is summed over
// instances, and no padding exists.
//
//   linear   Σ_t g_t a_tᵀ   a: the module's inputs, with a trailing 1 where it has a bias; g: the gradients at its
//   output lookup   Σ_t e_t g_tᵀ   e: the unit vector of the token's row in the table; a tied table adds the head's Σ_t
//   g_t a_tᵀ norm     Σ_t g_t ⊙ x̂_t  x̂: the normalised values, summed over heads; then the bias's Σ_t g_t
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "instance/gradients/modules.h"

namespace attribution {

struct ModuleFactors {
  at::Tensor inputs;  // linear: [token, input]; lookup: [token] rows of the table; norm: undefined
  at::Tensor
      gradients;        // linear, lookup: [token, output]; norm: the tokens' parts [token, parameter], weight then bias
  at::Tensor instance;  // [token] place of the token's instance in the batch, rising
  at::Tensor tokens;    // [token] the batch's tokens that an expert saw; undefined for other modules
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

}  // namespace attribution
