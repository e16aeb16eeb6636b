// The algebra of one module's factored gradients, by the module's kind; factors.h sums it over modules.
#pragma once
#include "instance/gradients/module_factors.h"

namespace attribution {

/// Inner products of all pairs of one module's gradients, [left instance, right instance].
at::Tensor pair_products(const ModuleFactors& left, const ModuleFactors& right, int64_t left_instances,
                         int64_t right_instances);

/// Squared norm of the gradient of each instance, [instance].
at::Tensor squared_norms(const ModuleFactors& factors, int64_t instances);

/// Numbers of the module's gradient.
int64_t gradient_width(const ModuleFactors& factors);
/// Each instance's gradient as parts of one vector: weight [instance, output * input], and the bias [instance, output]
/// where it has one.
std::vector<at::Tensor> dense_gradients(const ModuleFactors& factors, int64_t instances);

/// Adds the inner products with dense vectors [vector, gradient_width] to `total` [vector, instance].
void add_vector_products(at::Tensor& total, const at::Tensor& vectors, const ModuleFactors& factors, int64_t instances);

/// The tokens' parts of a norm's gradient [token, parameter], of gradients and normalised values [token, feature] or
/// [token, head, feature].
at::Tensor norm_parts(const at::Tensor& gradients, const at::Tensor& normalised, bool bias);

/// Sums of the tokens' rows [token, n] by instance, [instance, n] in float (double for float64).
at::Tensor instance_sums(const at::Tensor& rows, const at::Tensor& instance, int64_t instances);

}  // namespace attribution
