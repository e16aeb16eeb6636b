#include "instance/influence/inverse_gradients.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "instance/curvature/training_curvature.h"
#include "instance/ekfac/ekfac.h"
#include "instance/ekfac/ekfac_factors.h"
#include "instance/influence/plan.h"

namespace attribution {
namespace {

using Blocks = std::vector<std::vector<int64_t>>;

/// Consecutive instances that make a batch together.
Blocks batches_of(const Instances& instances, const std::vector<int64_t>& chosen, int64_t batch_tokens) {
  Blocks batches;
  int64_t tokens = 0;
  for (const int64_t i : chosen) {
    tokens += instances.token_count(i);
    if (batches.empty() || tokens > batch_tokens) {
      batches.emplace_back();
      tokens = instances.token_count(i);
    }
    batches.back().push_back(i);
  }
  return batches;
}

/// What `make` gives for the factored gradients of each chosen instance, one row each.
at::Tensor rows_of(const InfluenceProblem& p, const Instances& instances, const std::vector<int64_t>& chosen,
                   const std::function<at::Tensor(const Factors&)>& make, const SplitFactors& split = {}) {
  std::vector<at::Tensor> rows;
  for (const auto& members : batches_of(instances, chosen, p.o.batch_tokens)) {
    const Batch batch = make_batch(instances, members, p.model);
    const Factors factors = gradient_factors(p.model, batch, p.modules, p.o.reduction, p.o.of);
    rows.push_back(make(split ? split(factors, batch) : factors));
  }
  return at::cat(rows);
}

int64_t vector_bytes(const InfluenceProblem& p, int64_t copies) {
  return copies * parameter_width(p.model, p.modules) * static_cast<int64_t>(at::elementSize(p.model.dtype));
}

/// Instances whose vectors are made together: `copies` of each at a time must fit the budget.
Blocks blocks_of(const InfluenceProblem& p, int64_t instances, int64_t copies) {
  const int64_t each = vector_bytes(p, copies);
  if (each > p.o.memory_bytes)
    fail(Code::memory, "One query's vectors take ", each >> 20, " MB, but the budget is ", p.o.memory_bytes >> 20,
         " MB: raise \"memory\" or select fewer \"parameters\"");
  const int64_t most = p.o.memory_bytes / each;
  Blocks blocks;
  for (int64_t i = 0; i < instances; ++i) {
    if (i % most == 0) blocks.emplace_back();
    blocks.back().push_back(i);
  }
  return blocks;
}

/// Each instance alone, where the rows of its tokens fit the budget.
Blocks single_blocks(const InfluenceProblem& p, const Instances& instances, int64_t copies) {
  Blocks blocks;
  for (int64_t i = 0; i < instances.size(); ++i) {
    if (instances.token_count(i) > p.o.memory_bytes / std::max<int64_t>(1, vector_bytes(p, copies))) {
      fail(Code::memory, "The vectors of an instance's ", instances.token_count(i),
           " tokens take more than the budget of ", p.o.memory_bytes >> 20,
           " MB: raise \"memory\", or attribute to fewer \"parameters\"");
    }
    blocks.push_back({i});
  }
  return blocks;
}

}  // namespace

std::unique_ptr<Curvature> solver_curvature(const InfluenceProblem& p) {
  const Architecture& a = p.model.architecture;
  if (p.modules.has_head() && has_tied_head(a))
    fail(Code::unsupported,
         "A tied output projection is the token embedding; influence cannot take it as a module of its own: select "
         "\"embedding.token\", whose gradient is of both uses");
  return curvature_of(p.model, p.train, p.modules, p.curvature_options(), p.control);
}

ShiftedPairs shifted_pairs(const InfluenceProblem& p, const Curvature& curvature) {
  const Eigenpairs pairs = arnoldi(curvature, parameter_width(p.model, p.modules), p.model.options(), p.o, p.control);
  const at::Tensor shifted = pairs.values + p.o.damping;
  if (pairs.values.numel() > 0 &&
      shifted.abs().min().item<double>() <= 1e-6 * pairs.values.abs().max().item<double>()) {
    fail(Code::invalid, "\"damping\" ", p.o.damping, " cancels an eigenvalue of the Hessian: choose another");
  }
  return {pairs, shifted};
}

at::Tensor pair_coefficients(const InfluenceProblem& p, const Eigenpairs& pairs, const Instances& instances) {
  std::vector<int64_t> all(static_cast<size_t>(instances.size()));
  std::iota(all.begin(), all.end(), 0);
  return rows_of(p, instances, all, [&](const Factors& f) { return vector_products(pairs.vectors, f).t(); });
}

SolverReport for_inverse_gradients(const InfluenceProblem& p, const Instances& instances,
                                   const std::function<void(const InverseBlock&)>& use, const SplitFactors& split) {
  const int64_t copies = vector_copies(p.o.inverse);
  const Blocks blocks = split ? single_blocks(p, instances, copies) : blocks_of(p, instances.size(), copies);
  const auto gradients = [&](const std::vector<int64_t>& chosen) {
    return rows_of(p, instances, chosen, dense_gradients, split);
  };
  if (p.o.inverse == Inverse::identity) {
    for (const auto& chosen : blocks) {
      const at::Tensor g = gradients(chosen);
      use({chosen, g, g, nullptr});
    }
    return {};
  }
  if (p.o.inverse == Inverse::ekfac) {
    const auto fitted = p.o.factors.empty() ? fit_ekfac(p.model, p.train, p.modules, p.o, p.control)
                                            : stored_ekfac(p.model, p.modules, p.o.factors, p.o.factor_bytes);
    for (const auto& chosen : blocks)
      use({chosen,
           {},
           rows_of(
               p, instances, chosen, [&](const Factors& f) { return ekfac_inverse(fitted, f, p.o.damping); }, split),
           nullptr});
    return {};
  }
  const auto curvature = solver_curvature(p);
  if (p.o.inverse == Inverse::arnoldi) {
    const ShiftedPairs s = shifted_pairs(p, *curvature);
    for (const auto& chosen : blocks) {
      const at::Tensor g = gradients(chosen), along = at::mm(g, s.pairs.vectors.t()) / s.shifted.to(g.options());
      use({chosen, g, at::mm(along, s.pairs.vectors), nullptr});
    }
    return {s.pairs.iterations, s.pairs.residual, s.pairs.values};
  }
  SolverReport report;
  for (const auto& chosen : blocks) {
    const at::Tensor g = gradients(chosen);
    const Solution solution = p.o.inverse == Inverse::cg ? conjugate_gradient(*curvature, g, p.o, p.control)
                                                         : lissa(*curvature, p.train.size(), g, p.o, p.control);
    report.iterations = std::max(report.iterations, solution.iterations);
    report.residual = std::max(report.residual, solution.residual);
    use({chosen, g, solution.vectors, curvature.get()});
  }
  return report;
}

}  // namespace attribution
