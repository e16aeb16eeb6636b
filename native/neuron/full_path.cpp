// The usual procedure, one full forward and backward per layer and node: the reference for the prefix cache, and the
// way where every position of a row is changed together.
#include <torch/csrc/autograd/autograd.h>

#include "model/transformer.h"
#include "neuron/neuron_scores.h"

namespace attribution {
namespace {

class FullPath {
 public:
  FullPath(const Model& model, const Batch& batch, const ReadoutTarget& target, const NeuronOptions& options)
      : model_(model), batch_(batch), target_(target), o_(options) {
    const ScoredPositions scored = scored_positions(model, batch, target, options);
    positions_ = scored.positions;
    owner_ = scored.owner;
  }

  BatchScores layer(size_t index) const {
    const int64_t layer = o_.layers[index];
    const at::Tensor end = values_at(layer);
    const at::Tensor start = o_.baseline.defined()
                                 ? o_.baseline[static_cast<int64_t>(index)].to(model_.options()).expand_as(end)
                                 : at::zeros_like(end);
    at::Tensor sum = at::zeros_like(end);
    for (size_t k = 0; k < o_.nodes.size(); ++k) {
      at::Tensor leaf = (start + o_.nodes[k] * (end - start)).detach().requires_grad_(true);
      const at::AutoGradMode grad(true);
      sum += o_.weights[k] * torch::autograd::grad({value_with(layer, leaf).sum()}, {leaf})[0];
    }
    const bool plain = o_.method == NeuronMethod::gradient;
    const at::Tensor features = plain ? sum : (end - start) * sum;
    const at::Tensor summed =
        at::zeros({batch_.size(), features.size(1)}, features.options()).index_add(0, owner_, features);
    const at::Tensor units = as_units(model_.architecture, o_.site, summed, plain);
    if (o_.method != NeuronMethod::integrated_gradients) return {units, {}};
    const at::NoGradGuard no_grad;
    const at::Tensor change = target_.values.to(at::kDouble) - value_with(layer, start).to(at::kDouble);
    return {units, units.to(at::kDouble).sum(-1) - change};
  }

 private:
  at::Tensor values_at(int64_t layer) const {
    const at::NoGradGuard no_grad;
    at::Tensor taken;
    Hooks hooks;
    hooks.site = [&](Site site, int64_t where, const at::Tensor& x) {
      if (site == o_.site && where == layer) taken = x.index_select(0, positions_);
      return x;
    };
    forward(model_, batch_, hooks);
    return taken;
  }

  /// F [instance] with the site's values at the positions replaced.
  at::Tensor value_with(int64_t layer, const at::Tensor& values) const {
    Hooks hooks;
    hooks.site = [&](Site site, int64_t where, const at::Tensor& x) {
      return site == o_.site && where == layer ? x.index_copy(0, positions_, values) : x;
    };
    const at::Tensor hidden =
        read_rows(model_.architecture, forward(model_, batch_, hooks), batch_).index_select(0, target_.rows);
    return target_.of(model_, hidden.unsqueeze(1)).squeeze(1);
  }

  const Model& model_;
  const Batch& batch_;
  const ReadoutTarget& target_;
  const NeuronOptions& o_;
  at::Tensor positions_;  // [changed position] packed index
  at::Tensor owner_;      // [changed position] its instance
};

}  // namespace

BatchScores integrate_fully(const Model& model, const Batch& batch, const ReadoutTarget& target,
                            const NeuronOptions& options, const Control& control) {
  const FullPath path(model, batch, target, options);
  std::vector<at::Tensor> scores, gaps;
  for (size_t i = 0; i < options.layers.size(); ++i) {
    control.check();
    const BatchScores layer = path.layer(i);
    scores.push_back(layer.scores);
    gaps.push_back(layer.gap);
  }
  const bool path_integral = options.method == NeuronMethod::integrated_gradients;
  return {at::stack(scores, 1), path_integral ? at::stack(gaps, 1) : at::Tensor()};
}

}  // namespace attribution
