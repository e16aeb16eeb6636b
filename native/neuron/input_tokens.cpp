#include "neuron/input_tokens.h"

#include <torch/csrc/autograd/autograd.h>

#include "core/error.h"
#include "model/evaluate.h"
#include "model/transformer.h"

namespace attribution {
namespace {

/// The path's ends: a part of the tokens and a part of their positions and types, [token, hidden]. An embedding norm of
/// tokens alone (BLOOM) comes before the path, one of the sum (BERT) is a part of the model that the path runs through.
struct Embeddings {
  at::Tensor tokens, others;
};

bool norms_sum(const Architecture& a) {
  return a.embedding_norm && (a.position == PositionKind::learned || a.token_types > 0);
}

/// What the path changes.
at::Tensor path_values(const Model& model, const Batch& batch, const Hooks& hooks) {
  const at::Tensor sum = summed_embeddings(model, batch, hooks);
  return norms_sum(model.architecture) ? sum : normed_embeddings(model, sum, hooks);
}

Embeddings embeddings(const Model& model, const Batch& batch) {
  at::Tensor others;
  Hooks hooks;
  hooks.lookup = [&others](ModuleId id, const at::Tensor& table, const at::Tensor& rows) {
    const at::Tensor found = at::embedding(table, rows);
    if (id.module != Module::token_embedding) others = others.defined() ? others + found : found;
    return found;
  };
  const at::Tensor all = path_values(model, batch, hooks);
  if (!others.defined()) return {all, at::zeros_like(all)};
  return {all - others, others};
}

/// The mean of all tokens' embeddings, taken through what follows the table, [1, hidden].
at::Tensor mean_embedding(const Model& model, const Batch& batch) {
  Hooks hooks;
  hooks.lookup = [](ModuleId id, const at::Tensor& table, const at::Tensor& rows) {
    if (id.module != Module::token_embedding)
      return at::zeros({rows.size(0), table.size(1)}, table.options().requires_grad(false));
    return table.mean(0, true).expand({rows.size(0), -1}).contiguous();
  };
  return path_values(model, batch, hooks).narrow(0, 0, 1);
}

class TokenPath {
 public:
  TokenPath(const Model& model, const Batch& batch, const InputTokenOptions& options)
      : model_(model), batch_(batch), o_(options) {
    const at::NoGradGuard no_grad;
    const Embeddings parts = embeddings(model, batch);
    start_ = o_.mean_baseline ? mean_embedding(model, batch).expand_as(parts.tokens) : at::zeros_like(parts.tokens);
    step_ = parts.tokens - start_;
    start_ = start_ + parts.others;
    target_ = readout_target(model, batch, head_logits(model, read(start_ + step_)), o_.target);
  }

  const ReadoutTarget& target() const { return target_; }

  /// [token]
  at::Tensor scores(const Control& control) const {
    at::Tensor gradient = at::zeros_like(step_);
    for (size_t k = 0; k < o_.nodes.size(); ++k) {
      control.check();
      const at::AutoGradMode grad(true);
      const at::Tensor leaf = (start_ + o_.nodes[k] * step_).detach().requires_grad_(true);
      gradient += o_.weights[k] * torch::autograd::grad({value_of(leaf).sum()}, {leaf})[0];
    }
    return (step_ * gradient).sum(1, false, at::kDouble);
  }

  /// F at the path's start, [instance].
  at::Tensor start_values() const {
    const at::NoGradGuard no_grad;
    return value_of(start_).to(at::kDouble);
  }

 private:
  at::Tensor value_of(const at::Tensor& input) const {
    return target_.of(model_, read(input).index_select(0, target_.rows).unsqueeze(1)).squeeze(1);
  }

  /// What the head reads, [row, embedding].
  at::Tensor read(const at::Tensor& input) const {
    const bool normed = norms_sum(model_.architecture);
    const at::Tensor x = normed ? normed_embeddings(model_, input, {}) : input;
    return read_rows(model_.architecture, finish(model_, forward_from(model_, batch_, x, {})), batch_);
  }

  const Model& model_;
  const Batch& batch_;
  const InputTokenOptions& o_;
  at::Tensor start_, step_;  // [token, hidden]
  ReadoutTarget target_;
};

}  // namespace

InputTokenScores input_tokens(const Model& model, const Instances& d, const InputTokenOptions& o,
                              const Control& control) {
  check_instances(model, d, "instances");
  check_target(model, d, o.target);
  if (o.nodes.empty() || o.nodes.size() != o.weights.size())
    fail(Code::invalid, "Expected as many path nodes as weights, and at least one");
  InputTokenScores result;
  result.scores = at::zeros({static_cast<int64_t>(d.tokens.size())}, at::kDouble);
  result.target_values = at::empty({d.size()}, at::kDouble);
  result.target_labels = at::empty({d.size()}, at::kInt);
  result.completeness_gap = at::empty({d.size()}, at::kDouble);
  for_batches(model, d, o.batch_tokens, "attributing input tokens", control, [&](const Batch& batch) {
    const TokenPath path(model, batch, o);
    const at::Tensor scores = path.scores(control).to(at::kCPU);
    const at::Tensor values = path.target().values.to(at::kCPU, at::kDouble);
    const at::Tensor sums =
        at::zeros({batch.size()}, at::kDouble).index_add(0, batch.token_instance.to(at::kCPU), scores);
    const at::Tensor indices = at::tensor(batch.instances, at::kLong);
    result.scores.index_copy_(0, token_places(d, batch), scores);
    result.target_values.index_copy_(0, indices, values);
    result.target_labels.index_copy_(0, indices, path.target().labels.to(at::kCPU, at::kInt));
    result.completeness_gap.index_copy_(0, indices, sums - (values - path.start_values().to(at::kCPU)));
  });
  return result;
}

}  // namespace attribution
