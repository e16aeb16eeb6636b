// Conductance (Dhamdhere et al. 2019): ∫ ∂F/∂wᵢ · dwᵢ/dα dα while the input embeddings go from zero to their values.
// One sweep gives every layer: between neighbouring nodes, the change of the unit times the mean of its two gradients.
// A router's choice of experts would make the units jump along the path, so each token keeps the experts that it goes
// to at the path's end; their weights follow the path.
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "model/transformer.h"
#include "neuron/neuron_scores.h"

namespace attribution {
namespace {

struct Point {
  std::vector<at::Tensor> values, gradients;  // of each asked layer, [position, width]
};

Point point(const Model& model, const Batch& batch, const ReadoutTarget& target, const NeuronOptions& o,
            const at::Tensor& positions, const std::vector<at::Tensor>& experts, double alpha) {
  const at::AutoGradMode grad(true);
  std::vector<at::Tensor> sites(o.layers.size());
  Hooks hooks;
  hooks.site = [&](Site site, int64_t layer, const at::Tensor& x) {
    const auto found = std::find(o.layers.begin(), o.layers.end(), layer);
    if (site != o.site || found == o.layers.end()) return x;
    sites[static_cast<size_t>(found - o.layers.begin())] = x;
    return x;
  };
  hooks.experts = [&](int64_t layer, const at::Tensor&) { return experts[static_cast<size_t>(layer)]; };
  const at::Tensor input = (embed(model, batch, {}) * alpha).detach().requires_grad_(true);
  const at::Tensor hidden =
      read_rows(model.architecture, finish(model, forward_from(model, batch, input, hooks)), batch)
          .index_select(0, target.rows);
  const auto gradients =
      torch::autograd::grad({target.of(model, hidden.unsqueeze(1)).sum()}, sites, {}, false, false, true);
  Point result;
  for (size_t i = 0; i < sites.size(); ++i) {
    const at::Tensor value = sites[i].detach();
    result.values.push_back(value.index_select(0, positions));
    result.gradients.push_back(
        (gradients[i].defined() ? gradients[i] : at::zeros_like(value)).index_select(0, positions));
  }
  return result;
}

/// The experts that the unchanged model chooses in each layer, [token, choice]; undefined in layers without.
std::vector<at::Tensor> experts_of(const Model& model, const Batch& batch) {
  std::vector<at::Tensor> experts(static_cast<size_t>(model.architecture.layers));
  if (!model.architecture.is_mixture()) return experts;
  const at::NoGradGuard no_grad;
  Hooks hooks;
  hooks.experts = [&](int64_t layer, const at::Tensor& chosen) { return experts[static_cast<size_t>(layer)] = chosen; };
  forward(model, batch, hooks);
  return experts;
}

}  // namespace

BatchScores conductances(const Model& model, const Batch& batch, const ReadoutTarget& target, const NeuronOptions& o,
                         const Control& control) {
  const ScoredPositions scored = scored_positions(model, batch, target, o);
  const std::vector<at::Tensor> experts = experts_of(model, batch);
  std::vector<at::Tensor> sums(o.layers.size());
  Point before = point(model, batch, target, o, scored.positions, experts, o.nodes.front());
  for (size_t k = 1; k < o.nodes.size(); ++k) {
    control.check();
    Point now = point(model, batch, target, o, scored.positions, experts, o.nodes[k]);
    for (size_t i = 0; i < sums.size(); ++i) {
      const at::Tensor part = (now.values[i] - before.values[i]) * (now.gradients[i] + before.gradients[i]) / 2;
      sums[i] = sums[i].defined() ? sums[i] + part : part;
    }
    before = std::move(now);
  }
  std::vector<at::Tensor> layers;
  for (const at::Tensor& sum : sums) {
    const at::Tensor owned = at::zeros({batch.size(), sum.size(1)}, sum.options()).index_add(0, scored.owner, sum);
    layers.push_back(as_units(model.architecture, o.site, owned));
  }
  return {at::stack(layers, 1), {}};
}

}  // namespace attribution
