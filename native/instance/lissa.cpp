// LiSSA (Agarwal et al. 2017): the inverse as a stochastic Neumann series. Every query takes the same batches, so that one graph
// serves all of them.
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "instance/influence.h"
#include "storage/error.h"

namespace attribution {
namespace {

/// Endless batches of a seeded order, reshuffled after each pass.
class Draws {
 public:
  Draws(int64_t size, int64_t batch, uint64_t seed) : order_(static_cast<size_t>(size)), batch_(std::min(batch, size)), engine_(seed) {
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

}  // namespace

Solution lissa(const Model& model, const Hessian& hessian, const Instances& train, const at::Tensor& vectors, const InfluenceOptions& o, const Control& control) {
  at::Tensor sum = at::zeros_like(vectors);
  double change = 0;
  for (int64_t repeat = 0; repeat < o.repeats; ++repeat) {
    Draws draws(train.size(), o.batch_size, static_cast<uint64_t>(o.seed + repeat));
    at::Tensor h = vectors.clone();
    for (int64_t step = 0; step < o.recursions; ++step) {
      control.progress(repeat * o.recursions + step, o.repeats * o.recursions, "LiSSA");
      const auto members = draws.next();
      const at::Tensor product = hessian.products(make_batch(train, members, model.device), h) / static_cast<double>(members.size());
      const at::Tensor next = vectors + (1 - o.lissa_damping) * h - product / o.scale;
      change = (next - h).norm().item<double>() / std::max(1e-300, next.norm().item<double>());
      h = next;
      if (!std::isfinite(change)) fail(Code::invalid, "LiSSA diverged at recursion ", step, ": raise \"scale\" above ", o.scale, " (it must exceed the Hessian's largest eigenvalue)");
    }
    sum += h / o.scale;
  }
  return {sum / static_cast<double>(o.repeats), o.repeats * o.recursions, change};
}

}  // namespace attribution
