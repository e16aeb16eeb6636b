// One optimizer step and the same step backwards, over all weights as one vector.
//
//   AdamW  m' = β₁m + (1 − β₁)g    v' = β₂v + (1 − β₂)g²    θ' = (1 − ηλ)θ − η (m'/b₁) / (√(v'/b₂ + r) + ε),  bₖ = 1 −
//   βₖᵗ SGD    g' = g + λθ             m' = μm + g'             θ' = θ − η m'
#pragma once
#include <ATen/ATen.h>

namespace attribution {

enum class Optimizer { adamw, sgd };

struct OptimizerOptions {
  Optimizer optimizer = Optimizer::adamw;
  double weight_decay = 0.01;                         // λ
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // AdamW
  double epsilon_root = 0;                            // AdamW: r, with which √ has a derivative at v = 0
  double momentum = 0;                                // SGD: μ
};

/// [parameter] each; SGD has no second moments.
struct TrainingState {
  at::Tensor weights, first, second;
  int64_t step = 0;      // steps made
  at::Tensor generator;  // the state of the dropout's generator, where it drops

  int64_t bytes() const;
};

/// Makes the step in place.
void optimizer_step(TrainingState& state, const at::Tensor& gradient, double rate, const OptimizerOptions& options);

/// Derivatives of a scalar by the state.
struct Adjoint {
  at::Tensor weights, first, second;
};
/// From the adjoint after the step to that before it, in place, apart from the gradient's own dependence on the
/// weights; returns the derivative by the gradient. `before` is the state before the step.
at::Tensor step_backwards(Adjoint& adjoint, const TrainingState& before, const at::Tensor& gradient, double rate,
                          const OptimizerOptions& options);

/// The gradient scaled down to a norm of at most `longest`; 0: as it is.
at::Tensor clipped(const at::Tensor& gradient, double longest);
/// The derivative by the gradient from that by the clipped one.
at::Tensor clip_backwards(const at::Tensor& derivative, const at::Tensor& gradient, double longest);

}  // namespace attribution
