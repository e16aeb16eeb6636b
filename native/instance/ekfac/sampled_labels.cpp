#include "instance/ekfac/sampled_labels.h"

#include <ATen/Parallel.h>

#include <algorithm>

namespace attribution {
namespace {

constexpr int64_t block = 64;  // classes summed together: the search looks at blocks first

/// splitmix64's mixer over (seed, instance, token).
double uniform_draw(uint64_t seed, uint64_t instance, uint64_t token) {
  uint64_t z = seed * 0x9E3779B97F4A7C15ULL;
  for (const uint64_t word : {instance, token}) {
    z += (word + 1) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
  }
  return (static_cast<double>(z >> 11) + 0.5) * 0x1p-53;
}

/// One draw per row; `owner` [row] is the rows' instance in the batch, rising.
at::Tensor uniform_draws(const Batch& batch, const at::Tensor& owner, int64_t seed) {
  const at::Tensor at_host = owner.to(at::kCPU, at::kLong).contiguous();
  const auto* places = at_host.const_data_ptr<int64_t>();
  at::Tensor draws = at::empty({at_host.size(0)}, at::kDouble);
  int64_t token = 0;
  for (int64_t i = 0; i < draws.size(0); ++i) {
    token = i > 0 && places[i] == places[i - 1] ? token + 1 : 0;
    draws.data_ptr<double>()[i] = uniform_draw(static_cast<uint64_t>(seed),
                                               static_cast<uint64_t>(batch.instances[static_cast<size_t>(places[i])]),
                                               static_cast<uint64_t>(token));
  }
  return draws;
}

template <typename Value>
double sum_of(const Value* values, int64_t count) {
  double sums[4] = {};  // apart, so that one addition need not wait for the other
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (int64_t k = 0; k < 4; ++k) sums[k] += values[i + k];
  }
  for (; i < count; ++i) sums[0] += values[i];
  return sums[0] + sums[1] + sums[2] + sums[3];
}

/// The first class at which the cumulated probabilities reach `draw` of their total.
template <typename Value>
int64_t inverse_cumulated(const Value* probabilities, int64_t classes, double draw, std::vector<double>& sums) {
  double total = 0;
  for (size_t b = 0; b < sums.size(); ++b)
    total += sums[b] = sum_of(probabilities + b * block, std::min(block, classes - static_cast<int64_t>(b) * block));
  double left = draw * total;
  size_t b = 0;
  while (b + 1 < sums.size() && left > sums[b]) left -= sums[b++];
  int64_t place = static_cast<int64_t>(b) * block;
  const int64_t end = std::min(place + block, classes);
  while (place + 1 < end && (left -= probabilities[place]) > 0) ++place;
  return place;
}

template <typename Value>
void draw_rows(const at::Tensor& probabilities, const at::Tensor& draws, at::Tensor& labels) {
  const int64_t classes = probabilities.size(1);
  const auto* values = probabilities.const_data_ptr<Value>();
  const auto* at = draws.const_data_ptr<double>();
  auto* chosen = labels.data_ptr<int64_t>();
  at::parallel_for(0, probabilities.size(0), 64, [&](int64_t begin, int64_t end) {
    std::vector<double> sums(static_cast<size_t>((classes + block - 1) / block));
    for (int64_t row = begin; row < end; ++row)
      chosen[row] = inverse_cumulated(values + row * classes, classes, at[row], sums);
  });
}

}  // namespace

at::Tensor drawn_labels(const at::Tensor& probabilities, const at::Tensor& draws) {
  const at::Tensor at_host = probabilities.to(at::kCPU).contiguous();
  at::Tensor labels = at::empty({at_host.size(0)}, at::kLong);
  if (at_host.scalar_type() == at::kDouble) {
    draw_rows<double>(at_host, draws, labels);
  } else {
    draw_rows<float>(at_host.to(at::kFloat), draws, labels);
  }
  return labels.to(probabilities.device());
}

Objective sampled_objective(const Model& model, const Batch& batch, Reduction reduction, int64_t seed) {
  return [&model, &batch, reduction, seed](const at::Tensor& hidden, const Hooks& hooks) {
    if (!model.architecture.predicts_tokens()) {
      const at::Tensor scores = at::log_softmax(readout_class_logits(model, hidden, batch, hooks), 1);
      const at::Tensor labels =
          drawn_labels(scores.detach().exp(), uniform_draws(batch, at::arange(batch.size(), at::kLong), seed));
      return at::nll_loss(scores, labels, {}, at::Reduction::Sum);
    }
    const at::Tensor counted = batch.targets.ne(no_target).nonzero().squeeze(1);
    const at::Tensor owner = batch.token_instance.index_select(0, counted);
    const at::Tensor draws = uniform_draws(batch, owner, seed);
    auto drawn = [&](int64_t first, const at::Tensor& probabilities) {
      return drawn_labels(probabilities, draws.narrow(0, first, probabilities.size(0)));
    };
    const at::Tensor losses = token_losses(model, hidden.index_select(0, counted), {{}, drawn}, hooks);
    if (reduction == Reduction::sum) return losses.sum();
    const at::Tensor counts = target_counts(model.architecture, batch).clamp_min(1).index_select(0, owner);
    return (losses / counts).sum();
  };
}

}  // namespace attribution
