// The solvers of influence functions: (H + λI) x = v, H seen only through products with it.
#pragma once
#include <ATen/ATen.h>

#include "instance/curvature/curvature.h"
#include "instance/influence/options.h"

namespace attribution {

/// x of each row v of `vectors` [query, parameter].
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
