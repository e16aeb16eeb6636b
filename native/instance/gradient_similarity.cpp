#include "instance/gradient_similarity.h"

#include <algorithm>

#include "model/evaluate.h"
#include "model/tensor_pool.h"
#include "storage/error.h"

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

}  // namespace

at::Tensor gradient_similarity(const Model& model, const Instances& train, const Instances& queries, const FeatureOptions& o, bool cosine, const Control& control) {
  check_instances(model, train, "train");
  check_instances(model, queries, "queries");
  const ModuleSelection modules(model.architecture, o.modules);
  const TensorPool pool(static_cast<size_t>(o.memory_bytes / 8 * 7));  // the rest is for what libtorch's products keep of each shape
  const int64_t per_token = factor_bytes(model, modules);
  const int64_t query_tokens = std::max<int64_t>(1, o.memory_bytes / 2 / per_token);
  const int64_t batch_tokens = std::max<int64_t>(1, std::min(o.batch_tokens, o.memory_bytes / 4 / per_token));
  at::Tensor scores = at::empty({queries.size(), train.size()}, at::kFloat);
  const auto blocks = pack(queries, std::min(query_tokens, batch_tokens * 4));
  int64_t done = 0;
  const int64_t total = static_cast<int64_t>(blocks.size()) * train.size();
  for (const auto& chosen : blocks) {
    control.check();
    QueryBlock block{chosen, gradient_factors(model, make_batch(queries, chosen, model.device), modules, o.reduction), {}};
    block.norms = lengths(block.factors, cosine);
    const at::Tensor rows = at::tensor(chosen, at::kLong);
    for (auto& members : pack(train, batch_tokens)) {
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
