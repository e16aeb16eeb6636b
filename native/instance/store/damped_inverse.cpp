#include "instance/store/damped_inverse.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace attribution {
namespace {

/// Rows and columns that one product adds to at a time: above the diagonal nothing is computed but the rest of a tile.
constexpr int64_t tile = 512;
/// Columns of the identity that are solved for at a time.
constexpr int64_t columns_at_once = 256;

}  // namespace

void add_outer_products(at::Tensor& matrix, const at::Tensor& x) {
  const int64_t size = matrix.size(0);
  for (int64_t begin = 0; begin < size; begin += tile) {
    const int64_t rows = std::min(tile, size - begin), columns = begin + rows;
    matrix.narrow(0, begin, rows).narrow(1, 0, columns).addmm_(x.narrow(0, begin, rows), x.narrow(0, 0, columns).t());
  }
}

void mirror(at::Tensor& matrix) { matrix.tril_().add_(at::tril(matrix, -1).t()); }

DampedInverse::DampedInverse(const at::Tensor& matrix, double lambda) : lambda_(lambda) {
  const at::Tensor diagonal = matrix.diagonal().clone();
  const double largest = diagonal.max().item<double>();
  // What the products that make a matrix of this size are rounded by.
  double rounding = largest * std::numeric_limits<double>::epsilon() * static_cast<double>(matrix.size(0));
  at::Tensor damped = matrix;
  for (int attempt = 0; attempt < 8; ++attempt, rounding *= 4) {
    damped.diagonal().copy_(diagonal + lambda_);
    const auto [factor, info] = at::linalg_cholesky_ex(damped);
    if (info.item<int32_t>() == 0) {
      damped.diagonal().copy_(diagonal);
      factor_ = factor;
      return;
    }
    lambda_ = lambda + rounding;
  }
  fail(Code::native, "The products of the features are not finite: check the model's weights for NaN");
}

at::Tensor DampedInverse::solve(const at::Tensor& rows) const {
  return rows.size(0) == 0 ? rows : at::cholesky_solve(rows.t(), factor_).t();
}

at::Tensor DampedInverse::squares(const at::Tensor& rows) const {
  if (rows.size(0) == 0) return at::empty({0}, at::kDouble);
  return at::linalg_solve_triangular(factor_, rows.t(), false).square().sum(0);
}

at::Tensor DampedInverse::diagonal() const {
  const int64_t size = factor_.size(0);
  const at::Tensor result = at::empty({size}, at::kDouble);
  for (int64_t begin = 0; begin < size; begin += columns_at_once) {
    const int64_t count = std::min(columns_at_once, size - begin);
    // Column k of L⁻¹ is 0 above k.
    const at::Tensor below = factor_.narrow(0, begin, size - begin).narrow(1, begin, size - begin);
    result.narrow(0, begin, count)
        .copy_(at::linalg_solve_triangular(below, at::eye(size - begin, count, at::kDouble), false).square().sum(0));
  }
  return result;
}

}  // namespace attribution
