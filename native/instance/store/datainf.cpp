#include "instance/store/damped_inverse.h"
#include "instance/store/segment_rows.h"
#include "instance/store/solvers.h"

namespace attribution {
namespace {

/// λ = damping · mean of g² per module.
std::vector<double> lambda_of(const SegmentRows& rows) {
  const std::vector<Segment>& segments = rows.segments();
  std::vector<double> lambda(segments.size(), 0);
  rows.blocks(segments.front(), segments.back(), "norms", 0, [&](int64_t, const at::Tensor& block) {
    for (size_t i = 0; i < segments.size(); ++i) lambda[i] += part(block, segments[i]).square().sum().item<double>();
  });
  for (size_t i = 0; i < segments.size(); ++i)
    lambda[i] = rows.damping() * positive(lambda[i]) / static_cast<double>(rows.count() * segments[i].size);
  return lambda;
}

/// g M g with DataInf's M = (nI − Σ_i g_i g_iᵀ / (λ + ‖g_i‖²)) / nλ: from the products of the rows.
void add_row_squares(const SegmentRows& rows, const Segment& s, at::Tensor& result) {
  at::Tensor kernel = kernel_of(rows, s, at::empty({0, s.end()}, at::kDouble)).matrix;
  mirror(kernel);
  const at::Tensor norms = kernel.diagonal().clone();
  const auto n = static_cast<double>(rows.count());
  const double lambda = rows.damping() * positive(norms.sum().item<double>()) / (n * static_cast<double>(s.size));
  result += (n * norms - at::matmul(kernel.square_(), 1 / (norms + lambda))) / (n * lambda);
}

/// The same from M itself, of modules with more rows than features.
void add_row_squares(const SegmentRows& rows, const std::vector<Segment>& group, at::Tensor& result) {
  const int64_t origin = group.front().begin;
  const auto own = [&](const at::Tensor& block, const Segment& s) { return block.narrow(1, s.begin - origin, s.size); };
  int64_t held = 0;
  std::vector<double> lambda(group.size(), 0);
  std::vector<at::Tensor> matrices;
  for (const Segment& s : group) {
    matrices.push_back(at::zeros({s.size, s.size}, at::kDouble));
    held += square_bytes(s.size);
  }
  rows.blocks(group.front(), group.back(), "norms", held, [&](int64_t, const at::Tensor& block) {
    for (size_t i = 0; i < group.size(); ++i) lambda[i] += own(block, group[i]).square().sum().item<double>();
  });
  const auto n = static_cast<double>(rows.count());
  for (size_t i = 0; i < group.size(); ++i)
    lambda[i] = rows.damping() * positive(lambda[i]) / (n * static_cast<double>(group[i].size));
  rows.blocks(group.front(), group.back(), "DataInf", held, [&](int64_t, const at::Tensor& block) {
    for (size_t i = 0; i < group.size(); ++i) {
      const at::Tensor g = own(block, group[i]);
      add_outer_products(matrices[i], (g / (g.square().sum(1, true) + lambda[i]).sqrt()).t());
    }
  });
  for (at::Tensor& matrix : matrices) mirror(matrix);
  rows.blocks(group.front(), group.back(), "self-influence", held, [&](int64_t first, const at::Tensor& block) {
    for (size_t i = 0; i < group.size(); ++i) {
      const at::Tensor g = own(block, group[i]);
      result.narrow(0, first, block.size(0)) +=
          (n * g.square().sum(1) - (at::matmul(g, matrices[i]) * g).sum(1)) / (n * lambda[i]);
    }
  });
}

}  // namespace

/// r = (1 / nλ) Σ_i [v − (vᵀg_i) / (λ + ‖g_i‖²) g_i] per module.
PreconditionedQueries datainf_queries(const SegmentRows& rows, const at::Tensor& queries, Want) {
  const std::vector<Segment>& segments = rows.segments();
  const std::vector<double> lambda = lambda_of(rows);
  const auto n = static_cast<double>(rows.count());
  at::Tensor result = n * queries;
  rows.blocks(segments.front(), segments.back(), "DataInf", 0, [&](int64_t, const at::Tensor& block) {
    for (size_t i = 0; i < segments.size(); ++i) {
      const at::Tensor g = part(block, segments[i]);
      const at::Tensor weights =
          at::matmul(part(queries, segments[i]), g.t()) / (g.square().sum(1) + lambda[i]);  // [query, row]
      part(result, segments[i]).sub_(at::matmul(weights, g));
    }
  });
  for (size_t i = 0; i < segments.size(); ++i) part(result, segments[i]).div_(n * lambda[i]);
  PreconditionedQueries preconditioned;
  preconditioned.vectors = result;
  return preconditioned;
}

at::Tensor datainf_row_squares(const SegmentRows& rows) {
  rows.require_matrices();
  at::Tensor result = at::zeros({rows.count()}, at::kDouble);
  for (const Segment& s : rows.segments()) {
    if (rows.in_row_space(s)) add_row_squares(rows, s, result);
  }
  for (const auto& group : rows.groups()) add_row_squares(rows, group, result);
  return result;
}

}  // namespace attribution
