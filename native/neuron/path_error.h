// How wrong a quadrature of a path can be, told by its own nodes: the last Legendre coefficients of the integrand.
// Where they fall fast the rule is exact; where they do not, the integrand has a kink or is too wild for the rule.
#pragma once
#include <ATen/ATen.h>

#include <vector>

namespace attribution {

/// Rows that take values at the nodes (on 0–1) to the coefficients aₙ₋₁, aₙ₋₂ (high) and aₙ₋₃, aₙ₋₄ (low) of Legendre's
/// polynomials, [4, node] double. Needs at least 4 nodes.
at::Tensor coefficient_rules(const std::vector<double>& nodes, const std::vector<double>& weights);

/// The error of each unit's integral, of the sizes of its high and low coefficients [.., unit]. The integrand of a ReLU
/// network jumps. A jump of J leaves high coefficients of at least 0.24 J and an error of at most 0.092 J with 8 nodes,
/// so a share of them bounds it. Coefficients that fall by the ratio r go on falling: Gauss's error is rⁿ⁺¹ of them.
/// Low coefficients below `floor` tell no ratio. `jumps`: the integrand may jump, so only a steep fall counts as one.
at::Tensor coefficient_errors(const at::Tensor& high, const at::Tensor& low, int64_t nodes, double floor, bool jumps);

}  // namespace attribution
