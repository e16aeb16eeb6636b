// Integrated gradients of every layer's units at the readout position: (w − w⁰) ∫ ∂F/∂w dα along w⁰ + α (w − w⁰), the
// other layers recomputed (Sundararajan et al. 2017; per layer as Dai et al. 2022). All (layer, node) pairs are
// one-token rows over the prefix cache and run as one growing batch; the backward ends where a row entered. The site's
// output projection P is linear, so the path is followed behind it, P w⁰ + α (P w − P w⁰), and its transpose is applied
// once, to the summed gradient.
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <limits>

#include "model/linear.h"
#include "model/transformer.h"
#include "neuron/neuron_scores.h"
#include "neuron/path_error.h"
#include "neuron/unit_writes.h"
#include "neuron/variants.h"

namespace attribution {
namespace {

/// Low coefficients below this many times the bound, as shares of the largest score, tell no ratio of falling.
constexpr double untold_coefficients = 5;

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

/// Where what the path changes is projected: a pre-activation acts through its neuron.
Site projected_site(const NeuronOptions& o) { return o.site == Site::heads ? Site::heads : Site::neurons; }

/// The start of a path in the i-th chosen layer, [1, width].
at::Tensor start_of(const Model& model, const NeuronOptions& o, size_t i) {
  if (!o.baseline.defined()) return at::zeros({1, site_width(model.architecture, o.site)}, model.options());
  const at::Tensor start = o.baseline[static_cast<int64_t>(i)].to(model.options()).unsqueeze(0);
  return o.site == Site::pre_activation ? activate(model.architecture, start) : start;
}

/// Whether what a path's start writes depends on where the router sends the row.
bool depends_on_routing(const Architecture& a, const NeuronOptions& o) {
  return o.baseline.defined() && o.site != Site::heads && a.is_mixture();
}

/// What the residual gets of the starts of `rows` paths, [row, hidden]: nothing but the bias where those are zero.
at::Tensor projected_start(const Model& model, const NeuronOptions& o, size_t i, int64_t rows, const Routing& routing) {
  const Architecture& a = model.architecture;
  const Site site = projected_site(o);
  if (!o.baseline.defined() && site == Site::neurons && a.is_mixture())
    return at::zeros({rows, a.hidden}, model.options());
  const at::Tensor start = start_of(model, o, i);
  if (!routing.defined()) return written_by(model, site, o.layers[i], start, {}).expand({rows, -1});
  return written_by(model, site, o.layers[i], start.expand({rows, -1}), routing);
}

/// One layer's path, before and behind the output projection (the same where there is none to go through).
struct LayerPath {
  at::Tensor step;             // [row, width] from its start to its end
  at::Tensor projected_start;  // [row, hidden]
  at::Tensor projected_step;   // [row, hidden]
  at::Tensor gradient;         // Σ weight · ∂F/∂(projected value)
  at::Tensor coefficients;     // [4, row, hidden] of the path's gradient (path_error.h), where errors are bounded
};

class Integral {
 public:
  Integral(const Model& model, const PrefixCache& cache, const ReadoutTarget& target, const NeuronOptions& options)
      : model_(model), cache_(cache), target_(target), o_(options) {
    const at::NoGradGuard no_grad;
    if (bounds_errors()) rules_ = coefficient_rules(o_.nodes, o_.weights).to(model.options());
    for (size_t i = 0; i < o_.layers.size(); ++i) paths_.push_back(path(i));
  }

  /// Adds Σ weight · ∂F/∂w over the run's nodes.
  void run(const std::vector<Stretch>& stretches) {
    std::vector<Entry> entries;
    std::vector<at::Tensor> leaves;
    for (const Stretch& s : stretches) {
      const LayerPath& p = paths_[s.layer];
      const at::Tensor values = p.projected_start.unsqueeze(1) + numbers(o_.nodes, s) * p.projected_step.unsqueeze(1);
      leaves.push_back(values.detach().requires_grad_(true));
      entries.push_back({o_.site, o_.layers[s.layer], leaves.back(), projected()});
    }
    const at::AutoGradMode grad(true);
    const at::Tensor values = target_.of(model_, run_entries(model_, cache_, entries));  // [row, variant]
    const auto gradients = torch::autograd::grad({values.sum()}, leaves);
    for (size_t i = 0; i < stretches.size(); ++i) {
      const Stretch& s = stretches[i];
      LayerPath& p = paths_[s.layer];
      p.gradient += (gradients[i] * numbers(o_.weights, s)).sum(1);
      if (!rules_.defined()) continue;
      const at::Tensor rules = rules_.narrow(1, static_cast<int64_t>(s.first), static_cast<int64_t>(s.count));
      p.coefficients += at::matmul(rules, gradients[i]).transpose(0, 1);
    }
  }

  BatchScores scores() const {
    const at::NoGradGuard no_grad;
    const bool plain = o_.method == NeuronMethod::gradient, integral = o_.method == NeuronMethod::integrated_gradients;
    std::vector<at::Tensor> layers, gaps, errors;
    const at::Tensor starts = integral ? start_values() : at::Tensor();  // [row, layer] F(w⁰)
    for (size_t i = 0; i < paths_.size(); ++i) {
      const LayerPath& p = paths_[i];
      const at::Tensor slope = projected() ? in_units(i, p.gradient) : p.gradient;
      layers.push_back(as_units(model_.architecture, o_.site, plain ? slope : p.step * slope, plain));
      if (integral)
        gaps.push_back(layers.back().to(at::kDouble).sum(-1) -
                       (target_.values.to(at::kDouble) - starts.select(1, static_cast<int64_t>(i))));
      if (integral && o_.completeness > 0) errors.push_back(error(i, layers.back()));
    }
    return {at::stack(layers, 1), integral ? at::stack(gaps, 1) : at::Tensor(),
            errors.empty() ? at::Tensor() : at::stack(errors, 1)};
  }

 private:
  /// Fewer nodes tell nothing of their own error.
  bool bounds_errors() const { return o_.completeness > 0 && o_.nodes.size() >= 4; }

  /// What a unit of the i-th layer may be wrong by, as a share of the largest score, [row].
  at::Tensor error(size_t i, const at::Tensor& scores) const {
    const at::Tensor largest = scores.abs().amax(-1);
    if (!rules_.defined()) return at::ones_like(largest);
    const LayerPath& p = paths_[i];
    // A path with kinks is bisected whatever they say.
    if (path_has_kinks(model_.architecture, o_.site, o_.layers[i])) return at::ones_like(largest);
    const at::Tensor slopes = in_units(i, p.coefficients.flatten(0, 1));
    const at::Tensor units = as_units(model_.architecture, o_.site, p.step * slopes.view({4, p.step.size(0), -1})) /
                             largest.clamp_min(std::numeric_limits<float>::min()).unsqueeze(1);  // [4, row, unit]
    const at::Tensor found =
        coefficient_errors(at::hypot(units[0], units[1]), at::hypot(units[2], units[3]),
                           static_cast<int64_t>(o_.nodes.size()), untold_coefficients * o_.completeness, false);
    return found.amax(-1);
  }

  bool projected() const { return o_.site != Site::pre_activation; }

  const Routing& routing(size_t i) const { return cache_.layers[static_cast<size_t>(o_.layers[i])].routing; }

  /// Gradients behind the output projection as those of the units.
  at::Tensor in_units(size_t i, const at::Tensor& gradients) const {
    return pulled_back(model_, o_.site, o_.layers[i], gradients, routing(i));
  }

  at::Tensor start_values() const {
    if (cache_.extra.defined()) return target_.of(model_, cache_.extra).to(at::kDouble);
    std::vector<Entry> entries;
    for (size_t i = 0; i < paths_.size(); ++i)
      entries.push_back({projected_site(o_), o_.layers[i], paths_[i].projected_start.unsqueeze(1), true});
    return target_.of(model_, run_entries(model_, cache_, entries)).to(at::kDouble);
  }

  LayerPath path(size_t i) const {
    LayerPath p;
    const CachedLayer& cached = cache_.layers[static_cast<size_t>(o_.layers[i])];
    const at::Tensor& end = cached.at(o_.site);
    const at::Tensor start = o_.baseline.defined()
                                 ? o_.baseline[static_cast<int64_t>(i)].to(model_.options()).expand_as(end)
                                 : at::zeros_like(end);
    p.step = end - start;
    const at::Tensor& projected_end = projected() ? cached.projected(o_.site) : end;
    p.projected_start = projected() ? projected_start(model_, o_, i, end.size(0), routing(i)) : start;
    p.projected_step = projected_end - p.projected_start;
    p.gradient = at::zeros_like(p.projected_step);
    if (rules_.defined()) p.coefficients = at::zeros_like(p.gradient).unsqueeze(0).repeat({4, 1, 1});
    return p;
  }

  at::Tensor numbers(const std::vector<double>& all, const Stretch& s) const {
    const std::vector<double> part(all.begin() + static_cast<int64_t>(s.first),
                                   all.begin() + static_cast<int64_t>(s.first + s.count));
    return at::tensor(part, at::kDouble).to(model_.options()).view({1, -1, 1});
  }

  const Model& model_;
  const PrefixCache& cache_;
  const ReadoutTarget& target_;
  const NeuronOptions& o_;
  at::Tensor rules_;  // coefficient_rules, where errors are bounded
  std::vector<LayerPath> paths_;
};

}  // namespace

std::vector<Entry> path_starts(const Model& model, int64_t rows, const NeuronOptions& o) {
  const at::NoGradGuard no_grad;
  std::vector<Entry> starts;
  if (depends_on_routing(model.architecture, o)) return starts;
  for (size_t i = 0; i < o.layers.size(); ++i)
    starts.push_back({projected_site(o), o.layers[i], projected_start(model, o, i, rows, {}).unsqueeze(1), true});
  return starts;
}

BatchScores integrate_cached(const Model& model, const PrefixCache& cache, const ReadoutTarget& target,
                             const NeuronOptions& options, int64_t most, const Control& control) {
  const PrefixCache target_cache = rows_of(cache, target.rows);
  Integral integral(model, target_cache, target, options);
  for (const auto& run : plan(options.layers.size(), options.nodes.size(), most)) {
    control.check();
    integral.run(run);
  }
  return integral.scores();
}

}  // namespace attribution
