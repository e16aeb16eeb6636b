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

/// Cross-entropy of each hidden state [n, embedding] → [n], in float (double for float64). Differentiable in `hidden`,
/// once.
at::Tensor frozen_head_losses(const at::Tensor& hidden, const Linear& head, const TokenTargets& targets);

}  // namespace attribution
