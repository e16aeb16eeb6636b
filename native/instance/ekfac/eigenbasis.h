// Factored gradients of a module in its eigenbasis.
#pragma once
#include "instance/ekfac/ekfac_module.h"
#include "instance/gradients/module_factors.h"

namespace attribution {

/// A module's output gradients and inputs in its eigenbasis: an instance's gradient there is Q_Sᵀ G Q_A = Σ_t s_t a_tᵀ.
struct InBasis {
  at::Tensor gradients;  // s [token, output]
  at::Tensor inputs;     // a [token, input (+ 1)]
  std::vector<int64_t> offsets;
};

/// Inputs with a trailing 1 where the module has a bias, and output gradients; bfloat16 as float.
at::Tensor with_ones(const ModuleFactors& factors);
at::Tensor wide_gradients(const ModuleFactors& factors);
InBasis in_basis(const EkfacModule& module, const ModuleFactors& factors, int64_t instances, const at::Tensor& inputs);
at::Tensor inputs_in_basis(const EkfacModule& module, const ModuleFactors& factors);
/// Q_Sᵀ G Q_A of one instance into `gradient` [output, input (+ 1)].
void gradient_of(const InBasis& x, int64_t instance, at::Tensor& gradient);

}  // namespace attribution
