#include "instance/self_influence.h"

#include "instance/curvature/network_curvature.h"
#include "instance/ekfac/ekfac.h"
#include "instance/ekfac/ekfac_factors.h"
#include "instance/influence/inverse_gradients.h"
#include "instance/influence/plan.h"
#include "model/evaluate.h"

namespace attribution {
namespace {

void put(at::Tensor& scores, const std::vector<int64_t>& instances, const at::Tensor& values) {
  scores.index_copy_(0, at::tensor(instances, at::kLong), values.to(at::kCPU, at::kFloat));
}

/// What `score` makes of each batch's factors.
void each_batch(const InfluenceProblem& p, at::Tensor& scores, const std::function<at::Tensor(const Factors&)>& score) {
  for_batches(p.model, p.train, p.o.batch_tokens, "self-influence", p.control, [&](const Batch& batch) {
    put(scores, batch.instances, score(gradient_factors(p.model, batch, p.modules, p.o.reduction)));
  });
}

}  // namespace

Influence self_influence(const Model& model, const Instances& train, const InfluenceOptions& o,
                         const Control& control) {
  check_instances(model, train, "train");
  const ModuleSelection modules(model.architecture, o.modules);
  const Budget budget(model, modules, o);
  const InfluenceOptions fitting = within_budget(budget, model, modules, train, train, o);
  const InfluenceProblem p{model, train, modules, fitting, control};
  Influence result{at::empty({train.size()}, at::kFloat), 0, 0, {}};
  if (o.inverse == Inverse::identity) {
    each_batch(p, result.scores, squared_norms);
  } else if (o.inverse == Inverse::ekfac) {
    const auto fitted = o.factors.empty() ? fit_ekfac(model, train, modules, fitting, control)
                                          : stored_ekfac(model, modules, o.factors, fitting.factor_bytes);
    each_batch(p, result.scores, [&](const Factors& f) { return ekfac_self(fitted, f, o.damping); });
  } else if (o.inverse == Inverse::arnoldi) {
    const ShiftedPairs s = shifted_pairs(p, *solver_curvature(p));
    result = {result.scores, s.pairs.iterations, s.pairs.residual, s.pairs.values};
    each_batch(p, result.scores, [&](const Factors& f) {
      return (vector_products(s.pairs.vectors, f).to(at::kCPU, at::kDouble).square() / s.shifted.unsqueeze(1)).sum(0);
    });
  } else {
    const SolverReport report = for_inverse_gradients(p, train, [&](const InverseBlock& block) {
      put(result.scores, block.instances, (block.gradients * block.vectors).sum(1));
    });
    result.iterations = report.iterations;
    result.residual = report.residual;
  }
  return result;
}

}  // namespace attribution
