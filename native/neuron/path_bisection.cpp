// Integrated gradients where the nodes that all layers share are too few: a layer's path is bisected until no unit's
// integral is wrong by more than a share of the layer's largest score, and until the pieces are complete: what their
// nodes integrate is the difference of F between their ends. F along the first layer's path can be wild, for all layers
// above run on states that they never saw, and a ReLU above makes its gradient jump. Only the paths that need it pay.
// Each instance is treated alone, so that its scores do not depend on its batch.
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/prefix/prefix_cache.h"
#include "neuron/neuron_scores.h"
#include "neuron/path_error.h"
#include "neuron/unit_writes.h"
#include "neuron/variants.h"

namespace attribution {
namespace {

/// Gauss-Legendre with 8 nodes on 0–1, the rule of every piece.
const std::vector<double> piece_nodes = {0.01985507175123188, 0.10166676129318664, 0.2372337950418355,
                                         0.4082826787521751,  0.5917173212478249,  0.7627662049581645,
                                         0.8983332387068134,  0.9801449282487682};
const std::vector<double> piece_weights = {0.05061426814518813, 0.11119051722668724, 0.15685332293894365,
                                           0.1813418916891810,  0.1813418916891810,  0.15685332293894365,
                                           0.11119051722668724, 0.05061426814518813};
constexpr int64_t piece_points = 8;

/// The shortest piece is 2^-deepest of the path, and a path has at most so many (1,073 rows). What a unit may be wrong
/// by even then is reported.
constexpr int deepest = 16;
constexpr size_t most_pieces = 64;
/// Unit scores below this share of F are rounding; errors are not measured against less.
constexpr double least_score = 1e-5;

/// What a piece's points (its start, 8 nodes, its end) say, [7, 10]: the integral, four coefficients, and at both ends
/// how far the gradient is from the line through the two nodes next to it, times the share of the piece beyond them: a
/// jump there is seen by no node.
at::Tensor piece_rules() {
  at::Tensor rules = at::zeros({7, piece_points + 2}, at::kDouble);
  rules[0].narrow(0, 1, piece_points).copy_(at::tensor(piece_weights, at::kDouble));
  rules.narrow(0, 1, 4).narrow(1, 1, piece_points).copy_(coefficient_rules(piece_nodes, piece_weights));
  const double first = piece_nodes[0], slope = first / (piece_nodes[1] - first);
  const at::Tensor edge = first * at::tensor({1.0, -1 - slope, slope}, at::kDouble);
  rules[5].narrow(0, 0, 3).copy_(edge);
  rules[6].narrow(0, piece_points - 1, 3).copy_(edge.flip(0));
  return rules;
}

/// F and its gradient at a point of the path.
struct Point {
  double value;
  at::Tensor gradient;  // [hidden] behind the output projection
};

struct Piece {
  double from, to;
  Point start, end;
  int depth;
  at::Tensor integral = {};        // [hidden] of ∂F/∂(projected value)
  at::Tensor high = {}, low = {};  // [unit] sizes of the coefficients of the units' integrands
  at::Tensor edges = {};           // [unit] error of what lies beyond the outer nodes
  double gap = 0;                  // of the integral
};

ReadoutTarget only(const ReadoutTarget& all, int64_t instance) {
  auto take = [instance](const at::Tensor& x) { return x.defined() ? x.narrow(0, instance, 1) : x; };
  return {all.kind, take(all.rows), take(all.labels), take(all.contrast), take(all.class_scores), take(all.values)};
}

/// Indices of the largest errors, rising: all but the smallest ones whose sum stays below `allowed`.
std::vector<size_t> largest(const std::vector<double>& errors, double allowed) {
  std::vector<size_t> order(errors.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return errors[a] < errors[b]; });
  double sum = 0;
  size_t kept = 0;
  while (kept < order.size() && (sum += errors[order[kept]]) <= allowed) ++kept;
  return {order.begin() + static_cast<int64_t>(kept), order.end()};
}

/// One layer's path of one instance, followed behind the site's output projection as in integrated_gradients.cpp.
class Bisection {
 public:
  Bisection(const Model& model, const PrefixCache& cache, const ReadoutTarget& target, const NeuronOptions& options,
            size_t layer, int64_t most)
      : model_(model), cache_(cache), target_(target), o_(options), layer_(options.layers[layer]), most_(most) {
    const at::NoGradGuard no_grad;
    const CachedLayer& cached = cache.layers[static_cast<size_t>(layer_)];
    const at::Tensor& end = cached.at(o_.site);
    const at::Tensor start = o_.baseline.defined()
                                 ? o_.baseline[static_cast<int64_t>(layer)].to(model.options()).unsqueeze(0)
                                 : at::zeros_like(end);
    step_ = end - start;
    projected_start_ = written_by(model, o_.site, layer_, start.contiguous(), cached.routing);
    direction_ = cached.projected(o_.site) - projected_start_;
    rules_ = piece_rules().to(model.options());
  }

  struct Result {
    at::Tensor scores;  // [1, unit]
    double error;       // what a unit may be wrong by, as a share of the largest score
  };

  /// `start_value` is F at the path's start.
  Result run(double start_value, const Control& control) {
    scale_ = std::max(std::abs(start_value), std::abs(target_.values.item<double>()));
    const std::vector<Point> ends = points({0, 1});
    pieces_ = {{0, 1, ends[0], ends[1], 0}};
    for (std::vector<size_t> open = {0}; !open.empty(); open = inexact()) {
      control.check();
      halve(open);
    }
    return {layer_scores(), error_};
  }

 private:
  at::Tensor units_of(const at::Tensor& gradients) const {  // [.., hidden] → [.., unit]
    const at::NoGradGuard no_grad;
    const Routing& routing = cache_.layers[static_cast<size_t>(layer_)].routing;
    const at::Tensor slopes = pulled_back(model_, o_.site, layer_, gradients, routing);
    return as_units(model_.architecture, o_.site, step_ * slopes);
  }

  at::Tensor layer_scores() const {
    at::Tensor sum = at::zeros_like(direction_);
    for (const Piece& p : pieces_) sum += p.integral;
    return units_of(sum);
  }

  /// The pieces that keep the path from its bounds, as far as they may be halved.
  std::vector<size_t> inexact() {
    const double largest_score = std::max(layer_scores().abs().max().item<double>(), least_score * scale_);
    const double unit_bound = o_.completeness * largest_score, gap_bound = o_.completeness * scale_;
    const bool jumps = path_has_kinks(model_.architecture, o_.site, layer_);
    std::vector<at::Tensor> rows;
    std::vector<double> squares, gaps;
    for (const Piece& p : pieces_) {
      const at::Tensor error = coefficient_errors(p.high, p.low, piece_points, unit_bound / 20, jumps) + p.edges;
      rows.push_back(error.square());
      squares.push_back(rows.back().max().item<double>());
      gaps.push_back(std::abs(p.gap));
    }
    // Errors of pieces have any sign: those of a unit add up like random ones. Gaps are added up as they are.
    const double error = std::sqrt(at::stack(rows).sum(0).max().item<double>());
    error_ = largest_score > 0 ? error / largest_score : 0;
    std::vector<size_t> chosen;
    if (error > unit_bound) chosen = largest(squares, unit_bound * unit_bound / 4);
    if (std::accumulate(gaps.begin(), gaps.end(), 0.0) > gap_bound) {
      for (const size_t i : largest(gaps, gap_bound / 2)) {
        if (std::find(chosen.begin(), chosen.end(), i) == chosen.end()) chosen.insert(chosen.begin(), i);
      }
    }
    std::erase_if(chosen, [&](size_t i) { return pieces_[i].depth == deepest; });
    const size_t room = most_pieces - pieces_.size();
    if (chosen.size() > room) chosen.erase(chosen.begin(), chosen.end() - static_cast<int64_t>(room));
    return chosen;
  }

  /// Puts both halves in the place of each of the chosen pieces.
  void halve(const std::vector<size_t>& chosen) {
    std::vector<double> alphas;
    for (const size_t i : chosen) {
      const Piece& p = pieces_[i];
      const double middle = (p.from + p.to) / 2;
      alphas.push_back(middle);
      for (const double from : {p.from, middle}) {
        for (const double node : piece_nodes) alphas.push_back(from + node * (p.to - p.from) / 2);
      }
    }
    const std::vector<Point> found = points(alphas);
    std::vector<Piece> halves;
    for (size_t k = 0; k < chosen.size(); ++k) {
      const Piece& p = pieces_[chosen[k]];
      const Point* own = &found[k * (2 * piece_points + 1)];
      const double middle = (p.from + p.to) / 2;
      halves.push_back(integrated({p.from, middle, p.start, own[0], p.depth + 1}, own + 1));
      halves.push_back(integrated({middle, p.to, own[0], p.end, p.depth + 1}, own + 1 + piece_points));
    }
    for (size_t k = 0; k < chosen.size(); ++k) {
      pieces_[chosen[k]] = halves[2 * k];
      pieces_.push_back(halves[2 * k + 1]);
    }
  }

  Piece integrated(Piece p, const Point* nodes) const {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> gradients = {p.start.gradient};
    for (int64_t k = 0; k < piece_points; ++k) gradients.push_back(nodes[k].gradient);
    gradients.push_back(p.end.gradient);
    const at::Tensor found = at::matmul(rules_, at::stack(gradients)) * (p.to - p.from);  // [rule, hidden]
    p.integral = found[0].clone();
    p.gap = (p.integral * direction_[0]).sum().item<double>() - (p.end.value - p.start.value);
    const at::Tensor units = units_of(found.narrow(0, 1, 6));  // [rule, unit]
    p.high = at::hypot(units[0], units[1]);
    p.low = at::hypot(units[2], units[3]);
    p.edges = at::maximum(units[4].abs(), units[5].abs());
    return p;
  }

  std::vector<Point> points(const std::vector<double>& alphas) const {
    std::vector<Point> all;
    for (size_t first = 0; first < alphas.size(); first += static_cast<size_t>(most_)) {
      const std::vector<double> part(
          alphas.begin() + static_cast<int64_t>(first),
          alphas.begin() + static_cast<int64_t>(std::min(alphas.size(), first + static_cast<size_t>(most_))));
      const at::Tensor alpha = at::tensor(part, at::kDouble).to(model_.options()).view({1, -1, 1});
      const at::Tensor leaf =
          (projected_start_.unsqueeze(1) + alpha * direction_.unsqueeze(1)).detach().requires_grad_(true);
      const at::AutoGradMode grad(true);
      const at::Tensor found =
          target_.of(model_, run_entries(model_, cache_, {{o_.site, layer_, leaf, true}}));  // [1, point]
      const at::Tensor gradients = torch::autograd::grad({found.sum()}, {leaf})[0][0];
      const at::Tensor values = found.detach()[0].to(at::kCPU, at::kDouble);
      for (size_t k = 0; k < part.size(); ++k)
        all.push_back({values[static_cast<int64_t>(k)].item<double>(), gradients[static_cast<int64_t>(k)]});
    }
    return all;
  }

  const Model& model_;
  const PrefixCache& cache_;
  const ReadoutTarget& target_;
  const NeuronOptions& o_;
  const int64_t layer_, most_;
  double scale_ = 0;                        // the larger F of the path's ends
  double error_ = 0;                        // of the pieces so far
  at::Tensor step_;                         // [1, width] from the path's start to its end
  at::Tensor projected_start_, direction_;  // [1, hidden]
  at::Tensor rules_;                        // piece_rules
  std::vector<Piece> pieces_;
};

}  // namespace

bool path_has_kinks(const Architecture& a, Site site, int64_t layer) {
  for (int64_t above = site == Site::heads ? layer : layer + 1; above < a.layers; ++above) {
    if (a.has_experts(above)) return true;
  }
  if (a.head_transform && a.head_transform->activation == Activation::relu) return true;
  return a.activation == Activation::relu && (site == Site::heads || layer < a.layers - 1);
}

void complete_paths(const Model& model, const PrefixCache& cache, const ReadoutTarget& target, const NeuronOptions& o,
                    BatchScores& found, int64_t most, const Control& control) {
  const at::Tensor gaps = found.gap.to(at::kCPU, at::kDouble), errors = found.error.to(at::kCPU, at::kDouble),
                   sums = found.scores.sum(-1, false, at::kDouble).to(at::kCPU);
  const int64_t instances = target.rows.size(0);
  for (int64_t i = 0; i < instances; ++i) {
    const auto end_value = target.values[i].item<double>();
    auto start_value = [&](int64_t layer) {
      return end_value - sums[i][layer].item<double>() + gaps[i][layer].item<double>();
    };
    std::vector<int64_t> inexact;
    for (int64_t layer = 0; layer < gaps.size(1); ++layer) {
      const double scale = std::max(std::abs(start_value(layer)), std::abs(end_value));
      const bool complete = std::abs(gaps[i][layer].item<double>()) <= o.completeness * scale;
      const bool exact = errors[i][layer].item<double>() <= o.completeness &&
                         !path_has_kinks(model.architecture, o.site, o.layers[static_cast<size_t>(layer)]);
      if (!complete || !exact) inexact.push_back(layer);
    }
    if (inexact.empty()) continue;
    const ReadoutTarget instance_target = only(target, i);
    const PrefixCache instance_cache = rows_of(cache, instance_target.rows);
    for (const int64_t layer : inexact) {
      Bisection bisection(model, instance_cache, instance_target, o, static_cast<size_t>(layer), most * instances);
      const auto [scores, error] = bisection.run(start_value(layer), control);
      found.scores[i][layer].copy_(scores[0]);
      found.gap[i][layer] = scores.sum(at::kDouble).item<double>() - (end_value - start_value(layer));
      found.error[i][layer] = error;
    }
  }
}

}  // namespace attribution
