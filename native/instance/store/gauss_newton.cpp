#include "instance/store/damped_inverse.h"
#include "instance/store/segment_rows.h"
#include "instance/store/solvers.h"

namespace attribution {
namespace {

/// (s GᵀG + λI)⁻¹ of queries, through the rows: W = q Gᵀ (s GGᵀ + λI)⁻¹ are the scores, and (q − s W G) / λ is M q.
void solve_in_row_space(const SegmentRows& rows, const Segment& s, const at::Tensor& queries, Want want,
                        PreconditionedQueries& result) {
  const double scale = rows.scale();
  Kernel k = kernel_of(rows, s, queries);
  k.matrix.mul_(scale);
  const DampedInverse inverse(k.matrix, rows.lambda(k.matrix, s));
  k.matrix.reset();
  const at::Tensor weights = inverse.solve(k.products);  // [query, row]
  if (want != Want::vectors) {
    const at::Tensor scores = rows.times_doubts(weights);
    result.scores = result.scores.defined() ? result.scores + scores : scores;
    if (want == Want::scores) return;
    result.row_squares += (1 - inverse.lambda() * inverse.diagonal()).clamp_min_(0) / scale;
    result.query_squares += scale * weights.square().sum(1);
  }
  rows.panels(s, "queries", square_bytes(rows.count()), [&](const Segment& columns, const at::Tensor& panel) {
    const at::Tensor outside = at::addmm(part(queries, columns), weights, panel, 1, -scale);  // λ M q
    if (want == Want::vectors) part(result.vectors, columns).copy_(outside / inverse.lambda());
    if (want == Want::scores_squares) result.query_squares += outside.square().sum(1) / inverse.lambda();
  });
}

/// (H + λI)⁻¹ of queries, module by module in feature space.
void solve_in_feature_space(const SegmentRows& rows, const std::vector<Segment>& group, const at::Tensor& queries,
                            Want want, PreconditionedQueries& result) {
  std::vector<at::Tensor> moments;
  int64_t held = 0, largest = 0;
  for (const Segment& s : group) {
    moments.push_back(at::zeros({s.size, s.size}, at::kDouble));
    held += square_bytes(s.size);
    largest = std::max(largest, square_bytes(s.size));
  }
  const int64_t origin = group.front().begin;
  const auto own = [&](const at::Tensor& block, const Segment& s) { return block.narrow(1, s.begin - origin, s.size); };
  rows.blocks(group.front(), group.back(), "second moments", held, [&](int64_t, const at::Tensor& block) {
    for (size_t i = 0; i < group.size(); ++i) add_outer_products(moments[i], own(block, group[i]).t());
  });
  std::vector<DampedInverse> inverses;
  for (size_t i = 0; i < group.size(); ++i) {
    moments[i].mul_(rows.scale());
    DampedInverse inverse(moments[i], rows.lambda(moments[i], group[i]));
    moments[i].reset();
    part(result.vectors, group[i]).copy_(inverse.solve(part(queries, group[i])));
    if (want != Want::scores_squares) continue;
    result.query_squares += inverse.squares(part(queries, group[i]));
    inverses.push_back(std::move(inverse));
  }
  if (want != Want::scores_squares) return;
  rows.blocks(group.front(), group.back(), "norms", held, [&](int64_t first, const at::Tensor& block) {
    for (size_t i = 0; i < group.size(); ++i)
      result.row_squares.narrow(0, first, block.size(0)) += inverses[i].squares(own(block, group[i]));
  });
}

}  // namespace

PreconditionedQueries gauss_newton_queries(const SegmentRows& rows, const at::Tensor& queries, Want want) {
  rows.require_matrices();
  PreconditionedQueries result;
  result.vectors = at::zeros_like(queries);
  result.query_squares = at::zeros({queries.size(0)}, at::kDouble);
  result.row_squares = at::zeros({rows.count()}, at::kDouble);
  for (const Segment& s : rows.segments()) {
    if (rows.in_row_space(s)) solve_in_row_space(rows, s, queries, want, result);
  }
  const auto groups = rows.groups();
  for (const auto& group : groups) solve_in_feature_space(rows, group, queries, want, result);
  result.reads_rows = !groups.empty();
  return result;
}

at::Tensor gauss_newton_row_squares(const SegmentRows& rows) {
  const at::Tensor none = at::zeros({0, rows.segments().back().end()}, at::kDouble);
  return gauss_newton_queries(rows, none, Want::scores_squares).row_squares;
}

}  // namespace attribution
