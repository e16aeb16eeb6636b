#include "instance/influence.h"

#include <algorithm>

#include "instance/ekfac.h"
#include "model/evaluate.h"
#include "storage/error.h"

namespace attribution {
namespace {

/// Consecutive queries that make a batch together.
std::vector<std::vector<int64_t>> batches_of(const Instances& queries, const std::vector<int64_t>& chosen, int64_t batch_tokens) {
  std::vector<std::vector<int64_t>> batches;
  int64_t tokens = 0;
  for (const int64_t i : chosen) {
    tokens += queries.token_count(i);
    if (batches.empty() || tokens > batch_tokens) {
      batches.emplace_back();
      tokens = queries.token_count(i);
    }
    batches.back().push_back(i);
  }
  return batches;
}

/// A vector [parameter] of each chosen query, made of its factored gradient.
at::Tensor query_vectors(const Model& model, const Instances& queries, const ModuleSelection& modules, const std::vector<int64_t>& chosen, const InfluenceOptions& o,
                         const std::function<at::Tensor(const Factors&)>& make) {
  std::vector<at::Tensor> rows;
  for (const auto& members : batches_of(queries, chosen, o.batch_tokens)) rows.push_back(make(gradient_factors(model, make_batch(queries, members, model.device), modules, o.reduction)));
  return at::cat(rows);
}

Solution solve(const Model& model, const Hessian& hessian, const Instances& train, const at::Tensor& vectors, const InfluenceOptions& o, const Control& control) {
  return o.inverse == Inverse::cg ? conjugate_gradient(model, hessian, train, vectors, o, control) : lissa(model, hessian, train, vectors, o, control);
}

/// Queries solved together: their vectors must fit the budget, `copies` of each at a time.
std::vector<std::vector<int64_t>> query_blocks(const Model& model, const ModuleSelection& modules, int64_t queries, int64_t memory_bytes, int64_t copies) {
  const int64_t each = copies * parameter_width(model, modules) * static_cast<int64_t>(at::elementSize(model.dtype));
  if (each > memory_bytes) fail(Code::memory, "One query's vectors take ", each >> 20, " MB, but the budget is ", memory_bytes >> 20, " MB: raise \"memory\" or select fewer \"parameters\"");
  const int64_t most = memory_bytes / each;
  std::vector<std::vector<int64_t>> blocks;
  for (int64_t i = 0; i < queries; ++i) {
    if (i % most == 0) blocks.emplace_back();
    blocks.back().push_back(i);
  }
  return blocks;
}

}  // namespace

Influence influence(const Model& model, const Instances& train, const Instances& queries, const InfluenceOptions& o, const Control& control) {
  if (o.inverse == Inverse::identity) return {gradient_similarity(model, train, queries, o, false, control), 0, 0};
  check_instances(model, train, "train");
  check_instances(model, queries, "queries");
  const ModuleSelection modules(model.architecture, o.modules);
  const std::optional<Hessian> hessian = o.inverse == Inverse::ekfac ? std::nullopt : std::optional<Hessian>(std::in_place, model, modules, o.reduction);
  const std::vector<EkfacModule> ekfac = o.inverse == Inverse::ekfac ? fit_ekfac(model, train, modules, o, control) : std::vector<EkfacModule>{};
  Influence result{at::empty({queries.size(), train.size()}, at::kFloat), 0, 0};
  for (const auto& chosen : query_blocks(model, modules, queries.size(), o.memory_bytes, hessian ? 6 : 2)) {
    const at::Tensor vectors = query_vectors(model, queries, modules, chosen, o, [&](const Factors& f) { return hessian ? dense_gradients(f) : ekfac_inverse(ekfac, f, o.damping); });
    const Solution solution = hessian ? solve(model, *hessian, train, vectors, o, control) : Solution{vectors, 0, 0};
    result.iterations = std::max(result.iterations, solution.iterations);
    result.residual = std::max(result.residual, solution.residual);
    const at::Tensor rows = at::tensor(chosen, at::kLong);
    for_batches(model, train, o.batch_tokens, "scoring", control, [&](const Batch& batch) {
      const Factors factors = gradient_factors(model, batch, modules, o.reduction);
      const at::Tensor scores = vector_products(solution.vectors, factors).to(at::kCPU, at::kFloat);
      result.scores.index_put_({rows.unsqueeze(1), at::tensor(batch.instances, at::kLong).unsqueeze(0)}, scores);
    });
  }
  return result;
}

}  // namespace attribution
