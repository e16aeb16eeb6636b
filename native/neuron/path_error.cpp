#include "neuron/path_error.h"

namespace attribution {
namespace {

/// Error of a jump as a share of its high coefficients: at most 0.22 of their root sum of squares (8 nodes, any place
/// of the jump between the first and the last node), with a reserve for several jumps.
constexpr double jump_share = 0.3;
/// A jump's coefficients fall by ratios of 0.85 and more, those of what Gauss's rule integrates well by less than
/// these: the first where a jump may hide among smooth coefficients.
constexpr double ratio_with_jumps = 0.6, smooth_ratio = 0.75;

/// P₀(x) … Pₙ₋₁(x).
std::vector<double> legendre(double x, size_t count) {
  std::vector<double> values = {1, x};
  for (size_t j = 2; j < count; ++j) {
    const auto k = static_cast<double>(j);
    values.push_back(((2 * k - 1) * x * values[j - 1] - (k - 1) * values[j - 2]) / k);
  }
  return values;
}

}  // namespace

at::Tensor coefficient_rules(const std::vector<double>& nodes, const std::vector<double>& weights) {
  const size_t count = nodes.size();
  at::Tensor rules = at::empty({4, static_cast<int64_t>(count)}, at::kDouble);
  auto at = rules.accessor<double, 2>();
  for (size_t k = 0; k < count; ++k) {
    const std::vector<double> values = legendre(2 * nodes[k] - 1, count);
    for (size_t back = 1; back <= 4; ++back) {
      const size_t degree = count - back;
      at[static_cast<int64_t>(back) - 1][static_cast<int64_t>(k)] =
          (2 * static_cast<double>(degree) + 1) * weights[k] * values[degree];
    }
  }
  return rules;
}

at::Tensor coefficient_errors(const at::Tensor& high, const at::Tensor& low, int64_t nodes, double floor, bool jumps) {
  const at::Tensor ratio = (high / low.clamp_min(floor)).sqrt() / (jumps ? ratio_with_jumps : smooth_ratio);
  return jump_share * high * ratio.clamp_max(1).pow(static_cast<double>(nodes + 1));
}

}  // namespace attribution
