// Conjugate gradients for (H + λI) x = v, all queries at once: each iteration reads the training set once.
#include "core/error.h"
#include "instance/influence/solvers.h"

namespace attribution {
namespace {

at::Tensor row_products(const at::Tensor& a, const at::Tensor& b) { return (a * b).sum(1, true); }

}  // namespace

Solution conjugate_gradient(const Curvature& curvature, const at::Tensor& vectors, const InfluenceOptions& o,
                            const Control& control) {
  at::Tensor x = at::zeros_like(vectors), residual = vectors.clone(), direction = vectors.clone();
  at::Tensor square = row_products(residual, residual);
  const at::Tensor target = square.clone();
  const at::Tensor zero = at::zeros_like(square);
  double left = 1;
  int64_t iteration = 0;
  for (; iteration < o.iterations; ++iteration) {
    left = at::where(target.gt(0), square / target, zero).max().sqrt().item<double>();
    if (left <= o.tolerance) break;
    control.progress(iteration, o.iterations, "conjugate gradients");
    const at::Tensor product = curvature.mean_products(direction, control).add_(direction, o.damping);
    const at::Tensor quadratic = row_products(direction, product);
    if (quadratic.lt(0).any().item<bool>()) {
      fail(Code::invalid, "The damped Hessian is not positive definite (curvature ", quadratic.min().item<double>(),
           "): raise \"damping\" above ", o.damping);
    }
    const at::Tensor step = at::where(quadratic.gt(0), square / quadratic, zero);
    x.addcmul_(step, direction);
    residual.addcmul_(step, product, -1);
    const at::Tensor next = row_products(residual, residual);
    direction.mul_(at::where(square.gt(0), next / square, zero)).add_(residual);
    square = next;
  }
  left = at::where(target.gt(0), square / target, zero).max().sqrt().item<double>();
  return {x, iteration, left};
}

}  // namespace attribution
