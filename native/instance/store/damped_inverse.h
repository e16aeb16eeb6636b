// (A + λI)⁻¹ of a symmetric matrix A without negative eigenvalues, in double. By Cholesky, which fails only where
// rounding has made A + λI indefinite: then λ grows to what the rounding of A is.
#pragma once
#include <ATen/ATen.h>

namespace attribution {

/// Adds x xᵀ to the lower triangle of `matrix`, whose upper triangle stays undefined. x [size, k].
void add_outer_products(at::Tensor& matrix, const at::Tensor& x);

/// Copies the lower triangle into the upper one.
void mirror(at::Tensor& matrix);

class DampedInverse {
 public:
  /// Reads the lower triangle. λ > 0.
  DampedInverse(const at::Tensor& matrix, double lambda);

  double lambda() const { return lambda_; }
  /// x (A + λI)⁻¹ of each row x, [row, size].
  at::Tensor solve(const at::Tensor& rows) const;
  /// x (A + λI)⁻¹ xᵀ of each row x, [row]; a sum of squares.
  at::Tensor squares(const at::Tensor& rows) const;
  /// The diagonal of (A + λI)⁻¹, [size].
  at::Tensor diagonal() const;

 private:
  double lambda_;
  at::Tensor factor_;  // L with L Lᵀ = A + λI
};

}  // namespace attribution
