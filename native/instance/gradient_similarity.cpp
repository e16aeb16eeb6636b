#include "instance/gradient_similarity.h"

#include <algorithm>
#include <numeric>

#include "instance/gradients/budget.h"
#include "instance/gradients/factors.h"
#include "model/evaluate.h"

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

/// Blocks of queries whose factors stay beside batches of training instances: half of the room, at least one query.
std::vector<std::vector<int64_t>> query_blocks(const Budget& budget, const Instances& queries, const Instances& train,
                                               int64_t batch_tokens) {
  const int64_t kept = budget.factors(1), most = longest_instance(queries);
  budget.batch_tokens(train, most * kept);  // refuses what cannot be held
  const int64_t made = budget.batch_tokens(queries, 0);
  const int64_t least = longest_instance(train) * budget.token_bytes(Backward::once, 0);
  const int64_t room = std::min(budget.room() / 2, budget.room() - least);
  return pack(queries, std::min({std::max(most, room / kept), made, batch_tokens * 4}));
}

}  // namespace

at::Tensor gradient_similarity(const Model& model, const Instances& train, const Instances& queries,
                               const FeatureOptions& o, bool cosine, const Control& control) {
  check_instances(model, train, "train");
  check_instances(model, queries, "queries");
  check_quantity(model, o.of, queries);
  const ModuleSelection modules(model.architecture, o.modules);
  const Budget budget(model, modules, o);
  at::Tensor scores = at::empty({queries.size(), train.size()}, at::kFloat);
  const auto blocks = query_blocks(budget, queries, train, o.batch_tokens);
  int64_t done = 0;
  const int64_t total = static_cast<int64_t>(blocks.size()) * train.size();
  for (const auto& chosen : blocks) {
    control.check();
    QueryBlock block{
        chosen, gradient_factors(model, make_batch(queries, chosen, model), modules, o.reduction, o.of), {}};
    block.norms = lengths(block.factors, cosine);
    const at::Tensor rows = at::tensor(chosen, at::kLong);
    const int64_t held = budget.factors(tokens_of(queries, chosen));
    for (auto& members : pack(train, budget.batch_tokens(train, held))) {
      control.progress(done, total, "comparing gradients");
      done += static_cast<int64_t>(members.size());
      const Factors factors = gradient_factors(model, make_batch(train, members, model), modules, o.reduction);
      const at::Tensor block_scores = scores_of(block, factors, lengths(factors, cosine)).to(at::kCPU, at::kFloat);
      scores.index_put_({rows.unsqueeze(1), at::tensor(members, at::kLong).unsqueeze(0)}, block_scores);
    }
  }
  control.progress(total, total, "comparing gradients");
  return scores;
}

}  // namespace attribution
