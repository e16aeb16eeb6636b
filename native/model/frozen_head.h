// Cross-entropy of hidden states against a head that is frozen, without all of its logits.
#pragma once
#include "model/linear.h"
#include "model/loss.h"

namespace attribution {

/// Cross-entropy of each hidden state [n, embedding] → [n], in float (double for float64). Differentiable in `hidden`,
/// once.
at::Tensor frozen_head_losses(const at::Tensor& hidden, const Linear& head, const TokenTargets& targets);

}  // namespace attribution
