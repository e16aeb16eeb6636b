#include "training/optimizer.h"

#include <cmath>

namespace attribution {
namespace {

constexpr double norm_epsilon = 1e-6;  // as torch.nn.utils.clip_grad_norm_

double correction(double beta, int64_t step) { return 1 - std::pow(beta, static_cast<double>(step)); }

double norm_of(const at::Tensor& gradient) { return at::linalg_vector_norm(gradient).item<double>(); }

at::Tensor adamw_backwards(Adjoint& a, const TrainingState& before, const at::Tensor& g, double rate,
                           const OptimizerOptions& o) {
  const double first_correction = correction(o.beta1, before.step + 1),
               second_correction = correction(o.beta2, before.step + 1);
  const at::Tensor first = before.first.lerp(g, 1 - o.beta1);
  const at::Tensor root =
      before.second.mul(o.beta2).addcmul_(g, g, 1 - o.beta2).div_(second_correction).add_(o.epsilon_root).sqrt_();
  const at::Tensor divisor = root + o.epsilon;
  a.first.addcdiv_(a.weights, divisor, -rate / first_correction);
  // θ' has −η m'/b₁ / (√(v'/b₂ + r) + ε): its derivative by v' is η m'/b₁ / divisor² / (2 root b₂).
  const at::Tensor by_second = a.weights * first / (divisor.square_().mul_(root));
  a.second.add_(by_second, rate / first_correction / (2 * second_correction));
  const at::Tensor by_gradient = a.first.mul(1 - o.beta1).addcmul_(g, a.second, 2 * (1 - o.beta2));
  a.weights.mul_(1 - rate * o.weight_decay);
  a.first.mul_(o.beta1);
  a.second.mul_(o.beta2);
  return by_gradient;
}

at::Tensor sgd_backwards(Adjoint& a, double rate, const OptimizerOptions& o) {
  a.first.add_(a.weights, -rate);
  const at::Tensor by_gradient = a.first.clone();
  a.weights.add_(by_gradient, o.weight_decay);
  a.first.mul_(o.momentum);
  return by_gradient;
}

}  // namespace

int64_t TrainingState::bytes() const {
  int64_t sum = 0;
  for (const at::Tensor* t : {&weights, &first, &second}) sum += t->defined() ? static_cast<int64_t>(t->nbytes()) : 0;
  return sum;
}

void optimizer_step(TrainingState& s, const at::Tensor& gradient, double rate, const OptimizerOptions& o) {
  s.step += 1;
  if (o.optimizer == Optimizer::sgd) {
    s.first.mul_(o.momentum).add_(gradient).add_(s.weights, o.weight_decay);
    s.weights.add_(s.first, -rate);
    return;
  }
  s.weights.mul_(1 - rate * o.weight_decay);
  s.first.lerp_(gradient, 1 - o.beta1);
  s.second.mul_(o.beta2).addcmul_(gradient, gradient, 1 - o.beta2);
  const at::Tensor divisor = s.second.div(correction(o.beta2, s.step)).add_(o.epsilon_root).sqrt_().add_(o.epsilon);
  s.weights.addcdiv_(s.first, divisor, -rate / correction(o.beta1, s.step));
}

at::Tensor step_backwards(Adjoint& adjoint, const TrainingState& before, const at::Tensor& gradient, double rate,
                          const OptimizerOptions& o) {
  return o.optimizer == Optimizer::sgd ? sgd_backwards(adjoint, rate, o)
                                       : adamw_backwards(adjoint, before, gradient, rate, o);
}

at::Tensor clipped(const at::Tensor& gradient, double longest) {
  if (longest <= 0) return gradient;
  return gradient * std::min(1.0, longest / (norm_of(gradient) + norm_epsilon));
}

at::Tensor clip_backwards(const at::Tensor& derivative, const at::Tensor& gradient, double longest) {
  if (longest <= 0) return derivative;
  const double norm = norm_of(gradient), scale = longest / (norm + norm_epsilon);
  if (scale >= 1) return derivative;
  const double along = at::dot(derivative, gradient).item<double>();
  return (derivative * scale).add_(gradient, -along * scale / ((norm + norm_epsilon) * norm));
}

}  // namespace attribution
