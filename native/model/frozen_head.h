// Cross-entropy of hidden states against a head that is frozen, without all of its logits.
#pragma once
#include <ATen/ATen.h>

#include <functional>

#include "model/linear.h"

namespace attribution {

/// What each hidden state [n, embedding] must predict: given, or drawn with the probabilities [n, vocabulary] of the
/// states first … first + n at hand.
struct TokenTargets {
  at::Tensor given;  // [n] or undefined
  std::function<at::Tensor(int64_t first, const at::Tensor& probabilities)> drawn;
};

/// What becomes of the head's product: scaled, then softly capped, cap · tanh(x / cap).
struct LogitTransform {
  double scale = 1, cap = 0;  // 0: none

  bool is_plain() const { return scale == 1 && cap == 0; }
  at::Tensor operator()(const at::Tensor& x) const;
  /// d logit / d product, of the logits.
  at::Tensor slope(const at::Tensor& logits) const;
};

struct FrozenHead {
  Linear linear;
  LogitTransform transform = {};
};

/// Cross-entropy of each hidden state [n, embedding] → [n], in float (double for float64). Differentiable in `hidden`,
/// once.
at::Tensor frozen_head_losses(const at::Tensor& hidden, const FrozenHead& head, const TokenTargets& targets);

}  // namespace attribution
