// What each preconditioner computes; the table in solvers.cpp names them.
#pragma once
#include "instance/store/segment_rows.h"

namespace attribution {

/// (H + λI)⁻¹ of queries, segment by segment: in row space where there are fewer rows than features.
PreconditionedQueries gauss_newton_queries(const SegmentRows& rows, const at::Tensor& queries, Want want);
at::Tensor gauss_newton_row_squares(const SegmentRows& rows);

/// r = (1 / nλ) Σ_i [v − (vᵀg_i) / (λ + ‖g_i‖²) g_i] per module, λ = damping · mean of g² per module.
PreconditionedQueries datainf_queries(const SegmentRows& rows, const at::Tensor& queries, Want want);
at::Tensor datainf_row_squares(const SegmentRows& rows);

}  // namespace attribution
