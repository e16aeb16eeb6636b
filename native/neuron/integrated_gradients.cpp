// Integrated gradients of every layer's units at the readout position: (w − w⁰) ∫ ∂F/∂w dα along w⁰ + α (w − w⁰), the other layers
// recomputed (Sundararajan et al. 2017; per layer as Dai et al. 2022). All (layer, node) pairs are one-token rows over the prefix
// cache and run as one growing batch; the backward ends where a row entered. The site's output projection P is linear, so the path
// is followed behind it, P w⁰ + α (P w − P w⁰), and its transpose is applied once, to the summed gradient.
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "model/linear.h"
#include "model/prefix_cache.h"
#include "neuron/neuron_scores.h"
#include "neuron/variants.h"

namespace attribution {
namespace {

/// Consecutive nodes of one layer's path: variants of one run.
struct Stretch {
  size_t layer;  // place in options.layers
  size_t first, count;
};

std::vector<std::vector<Stretch>> plan(size_t layers, size_t nodes, int64_t most) {
  std::vector<std::vector<Stretch>> runs;
  int64_t room = 0;
  for (size_t layer = 0; layer < layers; ++layer) {
    for (size_t first = 0; first < nodes;) {
      if (room == 0) {
        runs.emplace_back();
        room = most;
      }
      const size_t count = std::min(nodes - first, static_cast<size_t>(room));
      runs.back().push_back({layer, first, count});
      first += count;
      room -= static_cast<int64_t>(count);
    }
  }
  return runs;
}

/// One layer's path, before and behind the output projection (the same where there is none to go through).
struct LayerPath {
  at::Tensor step;             // [row, width] from its start to its end
  at::Tensor projected_start;  // [row, hidden]
  at::Tensor projected_step;   // [row, hidden]
  at::Tensor gradient;         // Σ weight · ∂F/∂(projected value)
  at::Tensor baseline_value;   // [row] F at the path's start
};

class Integral {
 public:
  Integral(const Model& model, const PrefixCache& cache, const ReadoutTarget& target, const NeuronOptions& options)
      : model_(model), cache_(cache), target_(target), o_(options), nodes_(options.nodes), weights_(options.weights) {
    const at::NoGradGuard no_grad;
    if (o_.method == NeuronMethod::integrated_gradients) {  // F(w⁰) rides along, for the completeness gap
      nodes_.insert(nodes_.begin(), 0);
      weights_.insert(weights_.begin(), 0);
    }
    for (size_t i = 0; i < o_.layers.size(); ++i) paths_.push_back(path(i));
  }

  size_t nodes() const { return nodes_.size(); }

  /// Adds Σ weight · ∂F/∂w over the run's nodes.
  void run(const std::vector<Stretch>& stretches) {
    std::vector<Entry> entries;
    std::vector<at::Tensor> leaves;
    for (const Stretch& s : stretches) {
      const LayerPath& p = paths_[s.layer];
      const at::Tensor values = p.projected_start.unsqueeze(1) + numbers(nodes_, s) * p.projected_step.unsqueeze(1);
      leaves.push_back(values.detach().requires_grad_(true));
      entries.push_back({o_.site, o_.layers[s.layer], leaves.back(), projected()});
    }
    const at::AutoGradMode grad(true);
    const at::Tensor values = target_.of(model_, run_entries(model_, cache_, entries));  // [row, variant]
    const auto gradients = torch::autograd::grad({values.sum()}, leaves);
    int64_t variant = 0;
    for (size_t i = 0; i < stretches.size(); ++i) {
      const Stretch& s = stretches[i];
      LayerPath& p = paths_[s.layer];
      if (s.first == 0) p.baseline_value = values.detach().select(1, variant).to(at::kDouble);
      variant += static_cast<int64_t>(s.count);
      p.gradient += (gradients[i] * numbers(weights_, s)).sum(1);
    }
  }

  BatchScores scores() const {
    const at::NoGradGuard no_grad;
    const bool plain = o_.method == NeuronMethod::gradient, integral = o_.method == NeuronMethod::integrated_gradients;
    std::vector<at::Tensor> layers, gaps;
    for (size_t i = 0; i < paths_.size(); ++i) {
      const LayerPath& p = paths_[i];
      const at::Tensor slope = projected() ? product(p.gradient, output(i).matrix().t()) : p.gradient;
      layers.push_back(as_units(model_.architecture, o_.site, plain ? slope : p.step * slope, plain));
      if (integral) gaps.push_back(layers.back().to(at::kDouble).sum(-1) - (target_.values.to(at::kDouble) - p.baseline_value));
    }
    return {at::stack(layers, 1), integral ? at::stack(gaps, 1) : at::Tensor()};
  }

 private:
  bool projected() const { return o_.site != Site::pre_activation; }

  Linear output(size_t i) const {
    const Layer& layer = model_.weights.layers[static_cast<size_t>(o_.layers[i])];
    return o_.site == Site::heads ? layer.attention_output : layer.down;
  }

  LayerPath path(size_t i) const {
    LayerPath p;
    const at::Tensor& end = cache_.layers[static_cast<size_t>(o_.layers[i])].at(o_.site);
    const at::Tensor start = o_.baseline.defined() ? o_.baseline[static_cast<int64_t>(i)].to(model_.options()).expand_as(end) : at::Tensor();
    p.step = start.defined() ? end - start : end;
    p.projected_step = projected() ? product(p.step, output(i).matrix()) : p.step;
    p.projected_start = projected_start(i, start, p.projected_step);
    p.gradient = at::zeros_like(p.projected_step);
    return p;
  }

  /// Nothing but the bias where the path starts at zero.
  at::Tensor projected_start(size_t i, const at::Tensor& start, const at::Tensor& like) const {
    if (start.defined()) return projected() ? apply(output(i), start.contiguous()) : start;
    return projected() && output(i).bias.defined() ? output(i).bias.expand_as(like) : at::zeros_like(like);
  }

  at::Tensor numbers(const std::vector<double>& all, const Stretch& s) const {
    const std::vector<double> part(all.begin() + static_cast<int64_t>(s.first), all.begin() + static_cast<int64_t>(s.first + s.count));
    return at::tensor(part, at::kDouble).to(model_.options()).view({1, -1, 1});
  }

  const Model& model_;
  const PrefixCache& cache_;
  const ReadoutTarget& target_;
  const NeuronOptions& o_;
  std::vector<double> nodes_, weights_;
  std::vector<LayerPath> paths_;
};

}  // namespace

BatchScores integrate_cached(const Model& model, const PrefixCache& cache, const ReadoutTarget& target, const NeuronOptions& options, int64_t most, const Control& control) {
  const PrefixCache own = rows_of(cache, target.rows);
  Integral integral(model, own, target, options);
  for (const auto& run : plan(options.layers.size(), integral.nodes(), most)) {
    control.check();
    integral.run(run);
  }
  return integral.scores();
}

}  // namespace attribution
