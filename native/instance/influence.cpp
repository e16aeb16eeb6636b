#include "instance/influence.h"

#include <algorithm>
#include <numeric>

#include "instance/ekfac.h"
#include "instance/ekfac_factors.h"
#include "model/evaluate.h"
#include "storage/error.h"

namespace attribution {
namespace {

using QueryBlocks = std::vector<std::vector<int64_t>>;

/// Consecutive queries that make a batch together.
QueryBlocks batches_of(const Instances& queries, const std::vector<int64_t>& chosen, int64_t batch_tokens) {
  QueryBlocks batches;
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

/// What `make` gives for the factored gradients of each chosen query, one row each.
at::Tensor query_rows(const Model& model, const Instances& queries, const ModuleSelection& modules, const std::vector<int64_t>& chosen, const InfluenceOptions& o,
                      const std::function<at::Tensor(const Factors&)>& make) {
  std::vector<at::Tensor> rows;
  for (const auto& members : batches_of(queries, chosen, o.batch_tokens)) rows.push_back(make(gradient_factors(model, make_batch(queries, members, model.device), modules, o.reduction)));
  return at::cat(rows);
}

/// Queries solved together: their vectors must fit the budget, `copies` of each at a time.
QueryBlocks query_blocks(const Model& model, const ModuleSelection& modules, int64_t queries, int64_t memory_bytes, int64_t copies) {
  const int64_t each = copies * parameter_width(model, modules) * static_cast<int64_t>(at::elementSize(model.dtype));
  if (each > memory_bytes) fail(Code::memory, "One query's vectors take ", each >> 20, " MB, but the budget is ", memory_bytes >> 20, " MB: raise \"memory\" or select fewer \"parameters\"");
  const int64_t most = memory_bytes / each;
  QueryBlocks blocks;
  for (int64_t i = 0; i < queries; ++i) {
    if (i % most == 0) blocks.emplace_back();
    blocks.back().push_back(i);
  }
  return blocks;
}

void refuse_tied_head(const Model& model, const ModuleSelection& modules) {
  const Architecture& a = model.architecture;
  if (modules.has_head() && a.head == HeadKind::causal_lm && a.tied_output) fail(Code::unsupported, "A tied output projection is the token embedding; influence cannot take it as a module of its own");
}

void put_rows(at::Tensor& scores, const std::vector<int64_t>& rows, const at::Tensor& values) { scores.index_copy_(0, at::tensor(rows, at::kLong), values.to(at::kCPU, at::kFloat)); }

struct Problem {
  const Model& model;
  const Instances &train, &queries;
  const ModuleSelection& modules;
  const InfluenceOptions& o;
  const Control& control;

  CurvatureOptions curvature_options() const { return {o.reduction, o.batch_tokens, o.memory_bytes, o.full_path}; }
  at::Tensor empty_scores() const { return at::empty({queries.size(), train.size()}, at::kFloat); }
};

Influence by_ekfac(const Problem& p) {
  const auto fitted = p.o.factors.empty() ? fit_ekfac(p.model, p.train, p.modules, p.o, p.control) : stored_ekfac(p.model, p.modules, p.o.factors);
  Influence result{p.empty_scores(), 0, 0, {}};
  for (const auto& chosen : query_blocks(p.model, p.modules, p.queries.size(), p.o.memory_bytes, 2)) {
    const at::Tensor vectors = query_rows(p.model, p.queries, p.modules, chosen, p.o, [&](const Factors& f) { return ekfac_inverse(fitted, f, p.o.damping); });
    put_rows(result.scores, chosen, gradient_products(p.model, p.train, p.modules, p.curvature_options(), vectors, p.control));
  }
  return result;
}

Influence by_solver(const Problem& p) {
  refuse_tied_head(p.model, p.modules);
  const QueryBlocks blocks = query_blocks(p.model, p.modules, p.queries.size(), p.o.memory_bytes, 6);
  const auto curvature = curvature_of(p.model, p.train, p.modules, p.curvature_options(), p.control);
  Influence result{p.empty_scores(), 0, 0, {}};
  for (const auto& chosen : blocks) {
    const at::Tensor vectors = query_rows(p.model, p.queries, p.modules, chosen, p.o, dense_gradients);
    const Solution solution = p.o.inverse == Inverse::cg ? conjugate_gradient(*curvature, vectors, p.o, p.control) : lissa(*curvature, p.train.size(), vectors, p.o, p.control);
    result.iterations = std::max(result.iterations, solution.iterations);
    result.residual = std::max(result.residual, solution.residual);
    put_rows(result.scores, chosen, curvature->gradient_products(solution.vectors, p.control));
  }
  return result;
}

Influence by_arnoldi(const Problem& p) {
  refuse_tied_head(p.model, p.modules);
  const auto curvature = curvature_of(p.model, p.train, p.modules, p.curvature_options(), p.control);
  const Eigenpairs pairs = arnoldi(*curvature, parameter_width(p.model, p.modules), p.model.options(), p.o, p.control);
  const at::Tensor shifted = pairs.values + p.o.damping;
  if (pairs.values.numel() > 0 && shifted.abs().min().item<double>() <= 1e-6 * pairs.values.abs().max().item<double>()) {
    fail(Code::invalid, "\"damping\" ", p.o.damping, " cancels an eigenvalue of the Hessian: choose another");
  }
  std::vector<int64_t> all(static_cast<size_t>(p.queries.size()));
  std::iota(all.begin(), all.end(), 0);
  const at::Tensor left = query_rows(p.model, p.queries, p.modules, all, p.o, [&](const Factors& f) { return vector_products(pairs.vectors, f).t(); });  // [query, pair]
  const at::Tensor right = curvature->gradient_products(pairs.vectors, p.control);                                                                      // [pair, train]
  Influence result{p.empty_scores(), pairs.iterations, pairs.residual, pairs.values};
  result.scores.copy_(at::mm(left / shifted.to(left.options()), right));
  return result;
}

}  // namespace

Influence influence(const Model& model, const Instances& train, const Instances& queries, const InfluenceOptions& o, const Control& control) {
  if (o.inverse == Inverse::identity) return {gradient_similarity(model, train, queries, o, false, control), 0, 0, {}};
  check_instances(model, train, "train");
  check_instances(model, queries, "queries");
  const ModuleSelection modules(model.architecture, o.modules);
  const Problem problem{model, train, queries, modules, o, control};
  if (o.inverse == Inverse::ekfac) return by_ekfac(problem);
  return o.inverse == Inverse::arnoldi ? by_arnoldi(problem) : by_solver(problem);
}

}  // namespace attribution
