// Influence functions (Koh & Liang 2017): ∇L(q)ᵀ (H + λI)⁻¹ ∇L(z), H the Hessian of the mean training loss. Positive:
// training on z lowers the loss of q. To first order L(q) falls by score · ε when z is up-weighted by ε, so removing z
// costs score / N.
#pragma once
#include <ATen/ATen.h>

#include "instance/curvature/curvature.h"
#include "instance/gradient_similarity.h"
#include "model/checkpoint.h"

namespace attribution {

/// Labels under which EK-FAC takes gradients: drawn from the model, or the instances' own.
enum class Fisher { sampled, empirical };
enum class Inverse { identity, cg, lissa, arnoldi, ekfac };

struct InfluenceOptions : FeatureOptions {
  Inverse inverse = Inverse::lissa;
  double damping = 0.01;   // λ of cg and arnoldi, in the units of H; of ekfac a share of each module's mean eigenvalue
  bool full_path = false;  // the network for every product with H, also where states can be cached
  // cg, arnoldi
  int64_t iterations = 100;
  double tolerance = 1e-6;  // cg: of the residual, relative to the query's gradient
  int64_t rank = 50;        // arnoldi: eigenpairs kept
  // lissa: h ← v + (1 − lissa_damping) h − H h / scale, the result h / scale; its λ is lissa_damping · scale
  double lissa_damping = 0.01;
  double scale = 10;
  int64_t recursions = 100, repeats = 1;
  int64_t batch_size = 8;  // training instances of one recursion's Hessian
  int64_t seed = 42;
  Fisher fisher = Fisher::sampled;    // ekfac
  std::vector<WeightSource> factors;  // ekfac: as stored; empty: they are fitted
};

struct Influence {
  at::Tensor scores;       // [query, train] float
  int64_t iterations = 0;  // made
  double residual = 0;     // largest relative residual (cg, arnoldi) or last relative change (lissa)
  at::Tensor eigenvalues;  // arnoldi: [pair] double, of those kept, largest magnitude first
};

Influence influence(const Model& model, const Instances& train, const Instances& queries,
                    const InfluenceOptions& options, const Control& control);

/// What the solvers share: the problem (H + λI) x = v for each row of `vectors` [query, parameter].
struct Solution {
  at::Tensor vectors;  // [query, parameter]
  int64_t iterations;
  double residual;
};
Solution conjugate_gradient(const Curvature& curvature, const at::Tensor& vectors, const InfluenceOptions& options,
                            const Control& control);
Solution lissa(const Curvature& curvature, int64_t instances, const at::Tensor& vectors,
               const InfluenceOptions& options, const Control& control);

/// One of LiSSA's series: h [query, parameter] after it, and the relative change of the last recursion.
struct Series {
  at::Tensor h;
  double change;
};
[[noreturn]] void fail_diverged(int64_t recursion, const InfluenceOptions& options);

/// Eigenpairs of H in a Krylov space of it, those of the largest magnitude first.
struct Eigenpairs {
  at::Tensor values;   // [pair] double, on the CPU
  at::Tensor vectors;  // [pair, parameter], orthonormal
  int64_t iterations;  // dimension of the Krylov space
  double residual;     // largest ‖H x − λ x‖ over the largest |λ|
};
Eigenpairs arnoldi(const Curvature& curvature, int64_t parameters, at::TensorOptions type,
                   const InfluenceOptions& options, const Control& control);

}  // namespace attribution
