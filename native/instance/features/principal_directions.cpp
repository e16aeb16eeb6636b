#include "instance/features/principal_directions.h"

#include "core/error.h"
#include "instance/gradients/factors.h"
#include "instance/gradients/module_products.h"
#include "model/evaluate.h"
#include "model/linear.h"

namespace attribution {
namespace {

/// Σ_t x_t x_tᵀ of one side, in float (double for float64).
void add_covariance(at::Tensor& sum, const at::Tensor& x, int64_t rank) {
  if (x.size(1) <= rank) return;
  const auto high = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor columns = x.to(high).t().contiguous();
  const at::Tensor own = product(columns, columns);
  sum = sum.defined() ? sum.add_(own) : own;
}

/// [rank, width], the eigenvectors of the largest eigenvalues.
at::Tensor largest_directions(const at::Tensor& covariance, int64_t rank) {
  const auto [values, vectors] = at::linalg_eigh(covariance.to(at::kCPU, at::kDouble));
  const at::Tensor rows = vectors.narrow(1, vectors.size(1) - rank, rank).flip(1).t();
  const at::Tensor largest = rows.gather(1, rows.abs().argmax(1, true));
  return (rows * largest.sign()).to(at::kFloat);
}

}  // namespace

at::Tensor principal_directions(const Model& model, const Instances& d, const FeatureSettings& s, int64_t batch_tokens,
                                const Control& control) {
  check_instances(model, d, "train");
  const ModuleSelection modules(model.architecture, s.modules);
  for (size_t i = 0; i < modules.size(); ++i) refuse_table_directions(model.architecture, modules.id(i));
  std::vector<at::Tensor> sums(2 * modules.size());
  for_batches(model, d, batch_tokens, "covariances", control, [&](const Batch& batch) {
    const Factors factors = gradient_factors(model, batch, modules, s.reduction);
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < modules.size(); ++i) {
      const ModuleFactors& m = factors.modules[i];
      if (m.kind == ModuleKind::norm) {
        add_covariance(sums[2 * i], instance_sums(m.gradients, m.instance, factors.instances), s.rank * s.rank);
        continue;
      }
      add_covariance(sums[2 * i],
                     m.bias ? at::cat({m.inputs, at::ones({m.inputs.size(0), 1}, m.inputs.options())}, 1) : m.inputs,
                     s.rank);
      add_covariance(sums[2 * i + 1], m.gradients, s.rank);
    }
  });
  std::vector<at::Tensor> directions;
  for (size_t i = 0; i < sums.size(); ++i) {
    control.check();
    if (!sums[i].defined()) continue;
    const int64_t kept = kind_of(modules.id(i / 2).module) == ModuleKind::norm ? s.rank * s.rank : s.rank;
    directions.push_back(largest_directions(sums[i], kept).flatten());
    sums[i] = at::Tensor();
  }
  return directions.empty() ? at::empty({0}, at::kFloat) : at::cat(directions);
}

}  // namespace attribution
