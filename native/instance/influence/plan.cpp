#include "instance/influence/plan.h"

#include <algorithm>

#include "instance/curvature/training_curvature.h"
#include "instance/ekfac/ekfac.h"

namespace attribution {
namespace {

bool sees_hessian(Inverse inverse) {
  return inverse == Inverse::cg || inverse == Inverse::lissa || inverse == Inverse::arnoldi;
}

/// Bytes of a batch of the longest instance.
int64_t least_batch(const Budget& budget, const Instances& d, Backward backward) {
  int64_t row = 0;
  for (int64_t i = 0; i < d.size(); ++i) row = std::max<int64_t>(row, d.longest_row(i));
  return longest_instance(d) * budget.token_bytes(backward, row);
}

/// Bytes of EK-FAC's factors that stay in memory beside `held`: at most a third of the room, and no more than leaves
/// room for the largest eigendecomposition where they are fitted.
int64_t resident_factors(const Budget& budget, const Model& model, const ModuleSelection& modules, int64_t held,
                         const InfluenceOptions& o) {
  require_linear(model.architecture, modules, "EK-FAC");
  const EkfacBytes bytes = ekfac_bytes(model, modules);
  const int64_t work = std::max(held + bytes.module, o.factors.empty() ? bytes.module + bytes.eigen : 0);
  if (work > budget.room())
    refuse_budget(o.memory_bytes, "EK-FAC's factors of one module, and what is made of them,", work);
  return std::min({bytes.total, budget.room() / 3, budget.room() - work});
}

}  // namespace

int64_t vector_copies(Inverse inverse) { return inverse == Inverse::cg || inverse == Inverse::lissa ? 8 : 2; }

InfluenceOptions within_budget(const Budget& budget, const Model& model, const ModuleSelection& modules,
                               const Instances& train, const Instances& others, const InfluenceOptions& o) {
  const CurvatureOptions curvature{o.reduction, o.batch_tokens, budget.room() / 2, o.full_path};
  const bool network = sees_hessian(o.inverse) && !caches_states(model, train, modules, curvature);
  const Backward backward = network ? Backward::twice : Backward::once;
  const int64_t each = vector_copies(o.inverse) * budget.parameters();
  const int64_t least = std::max(least_batch(budget, train, backward), least_batch(budget, others, backward));
  InfluenceOptions fitting = o;
  int64_t fixed = 0;
  if (network) fixed = 3 * budget.parameters();  // a copy of them, and their two gradients
  if (o.inverse == Inverse::ekfac) {
    fitting.factor_bytes = resident_factors(budget, model, modules, each + least, o);
    fixed = std::max<int64_t>(0, fitting.factor_bytes) + ekfac_bytes(model, modules).module;
  }
  if (fixed + each + least > budget.room())
    refuse_budget(o.memory_bytes, "One query's vectors and the gradients of the longest instance",
                  fixed + each + least);
  // A block of vectors costs a pass over the training set: they take most of what is left. Cached states take up to
  // half as much again.
  const bool caches = sees_hessian(o.inverse) && !network;
  const int64_t left = budget.room() - fixed - least;
  fitting.memory_bytes = std::max(each, caches ? left / 2 : left * 3 / 4);
  const int64_t vectors = o.inverse == Inverse::arnoldi
                              ? fitting.memory_bytes
                              : std::min(fitting.memory_bytes, std::max<int64_t>(1, others.size()) * each);
  const int64_t held = std::min(fixed + vectors + (caches ? fitting.memory_bytes / 2 : 0), budget.room() - least);
  fitting.batch_tokens =
      std::min(budget.batch_tokens(train, held, backward), budget.batch_tokens(others, held, backward));
  return fitting;
}

InfluenceOptions fit_within_budget(const Budget& budget, const Model& model, const ModuleSelection& modules,
                                   const Instances& train, const InfluenceOptions& o) {
  InfluenceOptions fitting = o;
  fitting.factor_bytes = resident_factors(budget, model, modules, least_batch(budget, train, Backward::once), o);
  fitting.batch_tokens = budget.batch_tokens(train, fitting.factor_bytes + ekfac_bytes(model, modules).module);
  return fitting;
}

}  // namespace attribution
