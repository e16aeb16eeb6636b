#include "instance/gradient_similarity.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "model/evaluate.h"
#include "model/memory/tensor_pool.h"

namespace attribution {
namespace {

/// Queries whose factors are held at a time.
struct QueryBlock {
  std::vector<int64_t> instances;
  Factors factors;
  at::Tensor norms;  // [query], cosine only
};

at::Tensor lengths(const Factors& factors, bool cosine) {
  if (!cosine) return {};
  return squared_norms(factors).to(at::kDouble).clamp_min(0).sqrt();
}

at::Tensor scores_of(const QueryBlock& block, const Factors& train, const at::Tensor& train_norms) {
  const at::Tensor products = pair_products(block.factors, train).to(at::kDouble);
  if (!block.norms.defined()) return products;
  const at::Tensor norms = block.norms.unsqueeze(1) * train_norms.unsqueeze(0);
  return at::where(norms.gt(0), products / norms, at::zeros_like(products));
}

int64_t tokens_of(const Instances& d, const std::vector<int64_t>& chosen) {
  return std::accumulate(chosen.begin(), chosen.end(), int64_t{0},
                         [&](int64_t sum, int64_t i) { return sum + d.token_count(i); });
}

/// Of a budget, what tensors may take: libtorch's products keep some 100 MB of their own, whatever the budget.
int64_t tensor_bytes(int64_t budget) { return std::max(budget / 2, budget - (int64_t{128} << 20)); }

/// What a token's backward keeps beside the factors: inputs of norms and activations, queries, keys, values and the
/// heads' output.
int64_t graph_bytes(const Model& model) {
  const Architecture& a = model.architecture;
  return a.layers * (2 * a.hidden + 4 * a.query_width() + (a.gated ? 3 : 1) * a.intermediate) *
         static_cast<int64_t>(at::elementSize(model.dtype));
}

}  // namespace

at::Tensor gradient_similarity(const Model& model, const Instances& train, const Instances& queries,
                               const FeatureOptions& o, bool cosine, const Control& control) {
  check_instances(model, train, "train");
  check_instances(model, queries, "queries");
  check_quantity(model, o.of, queries);
  const ModuleSelection modules(model.architecture, o.modules);
  const int64_t room = tensor_bytes(o.memory_bytes), kept = factor_bytes(model, modules),
                passing = kept + graph_bytes(model);
  const TensorPool pool(static_cast<size_t>(room));
  at::Tensor scores = at::empty({queries.size(), train.size()}, at::kFloat);
  const auto blocks =
      pack(queries, std::max<int64_t>(1, std::min({room / 2 / kept, room / passing, o.batch_tokens * 4})));
  int64_t done = 0;
  const int64_t total = static_cast<int64_t>(blocks.size()) * train.size();
  for (const auto& chosen : blocks) {
    control.check();
    QueryBlock block{
        chosen, gradient_factors(model, make_batch(queries, chosen, model.device), modules, o.reduction, o.of), {}};
    block.norms = lengths(block.factors, cosine);
    const at::Tensor rows = at::tensor(chosen, at::kLong);
    const int64_t left = room - kept * tokens_of(queries, chosen);
    for (auto& members : pack(train, std::max<int64_t>(1, std::min(o.batch_tokens, left / passing)))) {
      control.progress(done, total, "comparing gradients");
      done += static_cast<int64_t>(members.size());
      const Factors factors = gradient_factors(model, make_batch(train, members, model.device), modules, o.reduction);
      const at::Tensor block_scores = scores_of(block, factors, lengths(factors, cosine)).to(at::kCPU, at::kFloat);
      scores.index_put_({rows.unsqueeze(1), at::tensor(members, at::kLong).unsqueeze(0)}, block_scores);
    }
  }
  control.progress(total, total, "comparing gradients");
  return scores;
}

}  // namespace attribution
