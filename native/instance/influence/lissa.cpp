// LiSSA (Agarwal et al. 2017): the inverse as a stochastic Neumann series. Every query takes the same batches, so that
// one graph serves all of them.
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "core/error.h"
#include "instance/influence/readout_lissa.h"
#include "instance/influence/solvers.h"

namespace attribution {
namespace {

/// Endless batches of a seeded order, reshuffled after each pass.
class Draws {
 public:
  Draws(int64_t size, int64_t batch, uint64_t seed)
      : order_(static_cast<size_t>(size)), batch_(std::min(batch, size)), engine_(seed) {
    std::iota(order_.begin(), order_.end(), 0);
    shuffle();
  }

  std::vector<int64_t> next() {
    if (place_ + batch_ > static_cast<int64_t>(order_.size())) shuffle();
    const auto begin = order_.begin() + place_;
    place_ += batch_;
    return {begin, begin + batch_};
  }

 private:
  void shuffle() {
    for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[engine_() % i]);
    place_ = 0;
  }

  std::vector<int64_t> order_;
  int64_t batch_, place_ = 0;
  std::mt19937_64 engine_;
};

Series dense_series(const Curvature& curvature, const std::vector<std::vector<int64_t>>& batches,
                    const at::Tensor& vectors, const InfluenceOptions& o,
                    const std::function<void(int64_t)>& progress) {
  at::Tensor h = vectors.clone();
  double change = 0;
  for (size_t step = 0; step < batches.size(); ++step) {
    progress(static_cast<int64_t>(step));
    // v − damping · h − H h / scale, which is what h changes by
    at::Tensor difference =
        curvature.products(batches[step], h).mul_(-1 / (o.scale * static_cast<double>(batches[step].size())));
    difference.add_(vectors).add_(h, -o.lissa_damping);
    h.add_(difference);
    change = difference.norm().item<double>() / std::max(1e-300, h.norm().item<double>());
    if (!std::isfinite(change)) fail_diverged(static_cast<int64_t>(step), o);
  }
  return {h, change};
}

}  // namespace

void fail_diverged(int64_t recursion, const InfluenceOptions& o) {
  fail(Code::invalid, "LiSSA diverged at recursion ", recursion, ": raise \"scale\" above ", o.scale,
       " (it must exceed the Hessian's largest eigenvalue)");
}

Solution lissa(const Curvature& curvature, int64_t instances, const at::Tensor& vectors, const InfluenceOptions& o,
               const Control& control) {
  at::Tensor sum = at::zeros_like(vectors);
  double change = 0;
  for (int64_t repeat = 0; repeat < o.repeats; ++repeat) {
    Draws draws(instances, o.batch_size, static_cast<uint64_t>(o.seed + repeat));
    std::vector<std::vector<int64_t>> batches;
    for (int64_t step = 0; step < o.recursions; ++step) batches.push_back(draws.next());
    auto progress = [&](int64_t step) {
      control.progress(repeat * o.recursions + step, o.repeats * o.recursions, "LiSSA");
    };
    const auto* readout = dynamic_cast<const ReadoutCurvature*>(&curvature);
    const bool spanned = readout && spans_cheaply(*readout, batches, vectors.size(1));
    const Series series = spanned ? readout_series(*readout, batches, vectors, o, progress)
                                  : dense_series(curvature, batches, vectors, o, progress);
    sum.add_(series.h, 1 / o.scale);
    change = series.change;
  }
  return {sum / static_cast<double>(o.repeats), o.repeats * o.recursions, change};
}

}  // namespace attribution
