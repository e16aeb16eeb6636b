// The matrix M between the features of a query and of a row, applied. M is (H + λI)⁻¹ of moments H of the rows, or
// DataInf's mean of inverses. All algebra is in double. A module with fewer rows than features is solved in row space:
// q (s GᵀG + λI)⁻¹ Gᵀ = q Gᵀ (s GGᵀ + λI)⁻¹. So what lies outside the span of the rows, and adds nothing to a score,
// is never divided by λ.
#pragma once
#include "storage/row_store.h"

namespace attribution {

enum class Preconditioner {
  none,
  gauss_newton,  // (H + λI)⁻¹ module by module, H the mean of g gᵀ over the rows
  datainf,       // Kwon et al. 2024, module by module
  trak,          // (ΦᵀΦ + λI)⁻¹ over all modules together, Φ the rows over their doubts
};

struct PreconditionerOptions {
  Preconditioner preconditioner = Preconditioner::none;
  double damping = 0.1;   // λ as a share of the mean diagonal
  at::Tensor row_doubts;  // TRAK: [row] double, 1 − p
  int64_t memory_bytes = int64_t{1} << 30;
};

/// What is wanted beside M q.
enum class Want {
  vectors,        // nothing
  scores,         // q M g of the modules solved in row space, whose M q stay 0
  scores_squares  // also q M q and g M g
};

struct PreconditionedQueries {
  at::Tensor vectors;        // [query, width] double, M q
  at::Tensor scores;         // [query, row] double, q M g of the modules solved in row space; undefined without any
  at::Tensor query_squares;  // [query] double, q M q
  at::Tensor row_squares;    // [row] double, g M g; of TRAK φ M φ with φ = g over its doubt
  bool reads_rows = true;    // whether some module's scores are products of `vectors` with the rows
};

/// queries [query, width] double.
PreconditionedQueries precondition(const RowStore& store, const at::Tensor& queries,
                                   const PreconditionerOptions& options, Want want, const Control& control);

/// g M g of every row, [row] double; of TRAK φ M φ.
at::Tensor row_squares(const RowStore& store, const PreconditionerOptions& options, const Control& control);

}  // namespace attribution
