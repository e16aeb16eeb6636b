// A linear module on packed rows. On a CPU in float32 or bfloat16 it runs oneDNN's matrix product, which is faster than
// libtorch's default BLAS; the result can be differentiated once. Everything else takes at::linear.
#pragma once
#include <ATen/ATen.h>

#include "model/weights.h"

namespace attribution {

/// input [row, input] · weightᵀ + bias → [row, output]
at::Tensor apply(const Linear& linear, const at::Tensor& input, bool twice_differentiable = false);

/// Logits in the type that losses are taken in: float, double for float64.
at::Tensor wide(const at::Tensor& logits);

/// a [m, k] · bᵀ with b [n, k], not differentiable: the fast product itself.
at::Tensor product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias = {});

}  // namespace attribution
