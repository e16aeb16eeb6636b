// Integrated gradients where the nodes that all layers share are too few: a layer's path is bisected until every piece
// is complete, what its nodes integrate being the difference of F between its ends. F along the first layer's path can
// be wild, for all layers above run on states that they never saw, while that of later layers is smooth; so only the
// paths that need it pay. Each instance is treated alone, so that its scores do not depend on its batch.
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "model/linear.h"
#include "model/prefix/prefix_cache.h"
#include "neuron/neuron_scores.h"
#include "neuron/variants.h"

namespace attribution {
namespace {

/// The shortest piece is 2^-deepest of the path; one that is not complete even then is taken as it is.
constexpr int deepest = 12;

struct Piece {
  double from, to;
  double from_value, to_value;  // F at its ends
  int depth;
  at::Tensor integral = {};  // [hidden] of ∂F/∂(projected value), by its own nodes
  double gap = 0;            // of that integral
};

ReadoutTarget only(const ReadoutTarget& all, int64_t instance) {
  auto take = [instance](const at::Tensor& x) { return x.defined() ? x.narrow(0, instance, 1) : x; };
  return {all.kind, take(all.rows), take(all.labels), take(all.contrast), take(all.class_scores), take(all.values)};
}

/// One layer's path of one instance, followed behind the site's output projection as in integrated_gradients.cpp.
class Bisection {
 public:
  Bisection(const Model& model, const PrefixCache& cache, const ReadoutTarget& target, const NeuronOptions& options,
            size_t layer, int64_t most)
      : model_(model), cache_(cache), target_(target), o_(options), layer_(options.layers[layer]), most_(most) {
    const at::NoGradGuard no_grad;
    const CachedLayer& cached = cache.layers[static_cast<size_t>(layer_)];
    end_ = cached.at(o_.site);
    start_ = o_.baseline.defined() ? o_.baseline[static_cast<int64_t>(layer)].to(model.options()).unsqueeze(0)
                                   : at::zeros_like(end_);
    projected_start_ = apply(site_output(model, o_.site, layer_), start_.contiguous());
    direction_ = cached.projected(o_.site) - projected_start_;
    gradient_ = at::zeros_like(direction_);
  }

  /// Attributions of the layer's units, [1, unit]. `start_value` is F at the path's start.
  at::Tensor scores(double start_value, const Control& control) {
    const auto end_value = target_.values.item<double>();
    scale_ = std::max(std::abs(start_value), std::abs(end_value));
    std::vector<Piece> open = {{0, 1, start_value, end_value, 0}};
    while (!open.empty()) {
      control.check();
      open = halve(open);
    }
    const at::NoGradGuard no_grad;
    const at::Tensor slope = product(gradient_, site_output(model_, o_.site, layer_).matrix().t());
    return as_units(model_.architecture, o_.site, (end_ - start_) * slope);
  }

 private:
  /// Integrates the halves of all pieces and returns those that are not complete yet.
  std::vector<Piece> halve(const std::vector<Piece>& pieces) {
    std::vector<double> alphas;
    for (const Piece& p : pieces) {
      const double middle = (p.from + p.to) / 2;
      alphas.push_back(middle);
      for (const double from : {p.from, middle}) {
        for (const double node : o_.nodes) alphas.push_back(from + node * (p.to - p.from) / 2);
      }
    }
    run(alphas);
    std::vector<Piece> open;
    const auto nodes = static_cast<int64_t>(o_.nodes.size());
    double gaps = 0;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Piece& p = pieces[i];
      const int64_t at = static_cast<int64_t>(i) * (2 * nodes + 1);
      const double middle = (p.from + p.to) / 2, value = values_[at].item<double>();
      for (const Piece& half : {integrated({p.from, middle, p.from_value, value, p.depth + 1}, at + 1),
                                integrated({middle, p.to, value, p.to_value, p.depth + 1}, at + 1 + nodes)}) {
        if (std::abs(half.gap) <= o_.completeness * scale_ * (half.to - half.from) || half.depth == deepest) {
          take(half);
        } else {
          open.push_back(half);
          gaps += std::abs(half.gap);
        }
      }
    }
    if (taken_gaps_ + gaps > o_.completeness * scale_) return open;
    for (const Piece& half : open) take(half);
    return {};
  }

  void take(const Piece& p) {
    gradient_ += p.integral;
    taken_gaps_ += std::abs(p.gap);
  }

  /// Its nodes are the run's from `first` on.
  Piece integrated(Piece p, int64_t first) const {
    const at::NoGradGuard no_grad;
    const at::Tensor weights = at::tensor(o_.weights, at::kDouble).to(model_.options()) * (p.to - p.from);
    p.integral = at::matmul(weights, gradients_.narrow(0, first, weights.size(0)));
    p.gap = (p.integral * direction_[0]).sum().item<double>() - (p.to_value - p.from_value);
    return p;
  }

  /// values_ [node] and gradients_ [node, hidden] at the path's points.
  void run(const std::vector<double>& alphas) {
    std::vector<at::Tensor> values, gradients;
    for (size_t first = 0; first < alphas.size(); first += static_cast<size_t>(most_)) {
      const std::vector<double> part(
          alphas.begin() + static_cast<int64_t>(first),
          alphas.begin() + static_cast<int64_t>(std::min(alphas.size(), first + static_cast<size_t>(most_))));
      const at::Tensor alpha = at::tensor(part, at::kDouble).to(model_.options()).view({1, -1, 1});
      const at::Tensor leaf =
          (projected_start_.unsqueeze(1) + alpha * direction_.unsqueeze(1)).detach().requires_grad_(true);
      const at::AutoGradMode grad(true);
      const at::Tensor found =
          target_.of(model_, run_entries(model_, cache_, {{o_.site, layer_, leaf, true}}));  // [1, node]
      gradients.push_back(torch::autograd::grad({found.sum()}, {leaf})[0][0]);
      values.push_back(found.detach()[0].to(at::kDouble));
    }
    values_ = at::cat(values);
    gradients_ = at::cat(gradients);
  }

  const Model& model_;
  const PrefixCache& cache_;
  const ReadoutTarget& target_;
  const NeuronOptions& o_;
  const int64_t layer_, most_;
  double scale_ = 0, taken_gaps_ = 0;
  at::Tensor start_, end_;                  // [1, width]
  at::Tensor projected_start_, direction_;  // [1, hidden]
  at::Tensor gradient_;                     // ∫ ∂F/∂(projected value) dα so far
  at::Tensor values_, gradients_;
};

}  // namespace

void complete_paths(const Model& model, const PrefixCache& cache, const ReadoutTarget& target, const NeuronOptions& o,
                    BatchScores& found, int64_t most, const Control& control) {
  const at::Tensor gaps = found.gap.to(at::kCPU, at::kDouble),
                   sums = found.scores.sum(-1, false, at::kDouble).to(at::kCPU);
  const int64_t instances = target.rows.size(0);
  for (int64_t i = 0; i < instances; ++i) {
    const auto end_value = target.values[i].item<double>();
    auto start_value = [&](int64_t layer) {
      return end_value - sums[i][layer].item<double>() + gaps[i][layer].item<double>();
    };
    std::vector<int64_t> incomplete;
    for (int64_t layer = 0; layer < gaps.size(1); ++layer) {
      const double scale = std::max(std::abs(start_value(layer)), std::abs(end_value));
      if (std::abs(gaps[i][layer].item<double>()) > o.completeness * scale) incomplete.push_back(layer);
    }
    if (incomplete.empty()) continue;
    const ReadoutTarget own_target = only(target, i);
    const PrefixCache own = rows_of(cache, own_target.rows);
    for (const int64_t layer : incomplete) {
      const at::Tensor scores = Bisection(model, own, own_target, o, static_cast<size_t>(layer), most * instances)
                                    .scores(start_value(layer), control);
      found.scores[i][layer].copy_(scores[0]);
      found.gap[i][layer] = scores.sum(at::kDouble).item<double>() - (end_value - start_value(layer));
    }
  }
}

}  // namespace attribution
