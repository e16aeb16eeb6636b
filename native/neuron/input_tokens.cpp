#include "neuron/input_tokens.h"

#include <torch/csrc/autograd/autograd.h>

#include "core/error.h"
#include "model/evaluate.h"
#include "model/transformer.h"

namespace attribution {
namespace {

/// What enters the first block: a part of the tokens and a part of their positions, [token, hidden]. With an embedding
/// norm (BLOOM) the tokens' part is what leaves it.
struct Embeddings {
  at::Tensor tokens, positions;
};

Embeddings embeddings(const Model& model, const Batch& batch) {
  at::Tensor positions;
  Hooks hooks;
  hooks.lookup = [&positions](ModuleId id, const at::Tensor& table, const at::Tensor& rows) {
    const at::Tensor found = at::embedding(table, rows);
    if (id.module == Module::position_embedding) positions = found;
    return found;
  };
  const at::Tensor both = embed(model, batch, hooks);
  if (!positions.defined()) return {both, at::zeros_like(both)};
  return {both - positions, positions};
}

/// The mean of all tokens' embeddings, taken through what follows the table, [1, hidden].
at::Tensor mean_embedding(const Model& model, const Batch& batch) {
  Hooks hooks;
  hooks.lookup = [](ModuleId id, const at::Tensor& table, const at::Tensor& rows) {
    if (id.module != Module::token_embedding)
      return at::zeros({rows.size(0), table.size(1)}, table.options().requires_grad(false));
    return table.mean(0, true).expand({rows.size(0), -1}).contiguous();
  };
  return embed(model, batch, hooks).narrow(0, 0, 1);
}

class TokenPath {
 public:
  TokenPath(const Model& model, const Batch& batch, const InputTokenOptions& options)
      : model_(model), batch_(batch), o_(options) {
    const at::NoGradGuard no_grad;
    const Embeddings parts = embeddings(model, batch);
    start_ = o_.mean_baseline ? mean_embedding(model, batch).expand_as(parts.tokens) : at::zeros_like(parts.tokens);
    step_ = parts.tokens - start_;
    start_ = start_ + parts.positions;
    const at::Tensor hidden = finish(model, forward_from(model, batch, start_ + step_, {}));
    const at::Tensor logits = head_logits(model, hidden.index_select(0, batch.readout));
    target_ = readout_target(model, batch, logits, o_.target);
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
    const at::Tensor read = batch_.readout.index_select(0, target_.rows);
    const at::Tensor hidden = finish(model_, forward_from(model_, batch_, input, {})).index_select(0, read);
    return target_.of(model_, hidden.unsqueeze(1)).squeeze(1);
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
