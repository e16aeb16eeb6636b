#include "instance/influence/influence.h"

#include "instance/curvature/network_curvature.h"
#include "instance/gradient_similarity.h"
#include "instance/influence/inverse_gradients.h"
#include "instance/influence/plan.h"
#include "model/evaluate.h"

namespace attribution {
namespace {

Influence by_blocks(const InfluenceProblem& p, const Instances& queries) {
  Influence result{at::empty({queries.size(), p.train.size()}, at::kFloat), 0, 0, {}};
  const SolverReport report = for_inverse_gradients(p, queries, [&](const InverseBlock& block) {
    const at::Tensor scores = block.curvature ? block.curvature->gradient_products(block.vectors, p.control)
                                              : gradient_products(p.model, p.train, p.modules, p.curvature_options(),
                                                                  block.vectors, p.control);
    result.scores.index_copy_(0, at::tensor(block.instances, at::kLong), scores.to(at::kCPU, at::kFloat));
  });
  result.iterations = report.iterations;
  result.residual = report.residual;
  return result;
}

/// In the span of the eigenvectors, where no query needs a vector of the parameters.
Influence by_arnoldi(const InfluenceProblem& p, const Instances& queries) {
  const auto curvature = solver_curvature(p);
  const ShiftedPairs s = shifted_pairs(p, *curvature);
  const at::Tensor left = pair_coefficients(p, s.pairs, queries);                     // [query, pair]
  const at::Tensor right = curvature->gradient_products(s.pairs.vectors, p.control);  // [pair, train]
  const at::Tensor scores = at::mm(left / s.shifted.to(left.options()), right);
  return {scores.to(at::kCPU, at::kFloat), s.pairs.iterations, s.pairs.residual, s.pairs.values};
}

}  // namespace

Influence influence(const Model& model, const Instances& train, const Instances& queries, const InfluenceOptions& o,
                    const Control& control) {
  if (o.inverse == Inverse::identity) return {gradient_similarity(model, train, queries, o, false, control), 0, 0, {}};
  check_instances(model, train, "train");
  check_instances(model, queries, "queries");
  check_quantity(model, o.of, queries);
  const ModuleSelection modules(model.architecture, o.modules);
  const Budget budget(model, modules, o);
  const InfluenceOptions fitting = within_budget(budget, model, modules, train, queries, o);
  const InfluenceProblem problem{model, train, modules, fitting, control};
  return o.inverse == Inverse::arnoldi ? by_arnoldi(problem, queries) : by_blocks(problem, queries);
}

}  // namespace attribution
