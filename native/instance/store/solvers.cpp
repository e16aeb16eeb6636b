#include "instance/store/solvers.h"

#include <array>

namespace attribution {
namespace {

/// What one preconditioner does; the row's place is its value in the enum.
struct Solver {
  PreconditionedQueries (*queries)(const SegmentRows& rows, const at::Tensor& queries, Want want);
  at::Tensor (*row_squares)(const SegmentRows& rows);
};

PreconditionedQueries unchanged(const SegmentRows&, const at::Tensor& queries, Want) {
  PreconditionedQueries result;
  result.vectors = queries;
  return result;
}

at::Tensor squared_norms(const SegmentRows& rows) {
  at::Tensor result = at::zeros({rows.count()}, at::kDouble);
  const auto& segments = rows.segments();
  rows.blocks(segments.front(), segments.back(), "norms", 0, [&](int64_t first, const at::Tensor& block) {
    result.narrow(0, first, block.size(0)) += block.square().sum(1);
  });
  return result;
}

constexpr std::array<Solver, 4> solvers{{
    {unchanged, squared_norms},                        // none
    {gauss_newton_queries, gauss_newton_row_squares},  // gauss_newton
    {datainf_queries, datainf_row_squares},            // datainf
    {gauss_newton_queries, gauss_newton_row_squares},  // trak: all features are one segment
}};

const Solver& solver_of(Preconditioner preconditioner) { return solvers.at(static_cast<size_t>(preconditioner)); }

}  // namespace

PreconditionedQueries precondition(const RowStore& store, const at::Tensor& queries, const PreconditionerOptions& o,
                                   Want want, const Control& control) {
  return solver_of(o.preconditioner).queries(SegmentRows(store, o, control), queries, want);
}

at::Tensor row_squares(const RowStore& store, const PreconditionerOptions& o, const Control& control) {
  return solver_of(o.preconditioner).row_squares(SegmentRows(store, o, control));
}

}  // namespace attribution
