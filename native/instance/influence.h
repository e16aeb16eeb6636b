// Influence functions (Koh & Liang 2017): ∇L(q)ᵀ (H + λI)⁻¹ ∇L(z), H the Hessian of the mean training loss. Positive: training on z
// lowers the loss of q. To first order L(q) falls by score · ε when z is up-weighted by ε, so removing z costs score / N.
#pragma once
#include <ATen/ATen.h>

#include "instance/gradient_similarity.h"
#include "instance/hessian.h"

namespace attribution {

enum class Inverse { identity, cg, lissa, ekfac };

struct InfluenceOptions : FeatureOptions {
  Inverse inverse = Inverse::lissa;
  double damping = 0.01;  // λ of cg, in the units of H; of ekfac a share of each module's mean eigenvalue
  // cg
  int64_t iterations = 100;
  double tolerance = 1e-6;  // of the residual, relative to the query's gradient
  // lissa: h ← v + (1 − lissa_damping) h − H h / scale, the result h / scale; its λ is lissa_damping · scale
  double lissa_damping = 0.01;
  double scale = 10;
  int64_t recursions = 100, repeats = 1;
  int64_t batch_size = 8;  // training instances of one recursion's Hessian
  int64_t seed = 42;
};

struct Influence {
  at::Tensor scores;       // [query, train] float
  int64_t iterations = 0;  // made
  double residual = 0;     // largest relative residual (cg) or last relative change (lissa)
};

Influence influence(const Model& model, const Instances& train, const Instances& queries, const InfluenceOptions& options, const Control& control);

/// What the solvers share: the problem (H + λI) x = v for each row of `vectors` [query, parameter].
struct Solution {
  at::Tensor vectors;  // [query, parameter]
  int64_t iterations;
  double residual;
};
Solution conjugate_gradient(const Model& model, const Hessian& hessian, const Instances& train, const at::Tensor& vectors, const InfluenceOptions& options, const Control& control);
Solution lissa(const Model& model, const Hessian& hessian, const Instances& train, const at::Tensor& vectors, const InfluenceOptions& options, const Control& control);

}  // namespace attribution
