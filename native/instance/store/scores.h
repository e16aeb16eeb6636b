// Scores of queries against the rows of a store, without a model. The store streams through once per pass; the full
// matrix is held only where it is asked for.
#pragma once
#include "instance/store/preconditioner.h"

namespace attribution {

struct ScoreOptions : PreconditionerOptions {
  bool cosine = false;
  int64_t top = 0;          // of each query; 0: the full matrix
  at::Tensor query_doubts;  // TRAK: [query] double, 1 − p
};

struct StoreScores {
  at::Tensor scores;   // [query, row] float, or [query, top], best first
  at::Tensor indices;  // [query, top] int, with `top`
};

/// queries [query, width] float.
StoreScores store_scores(const RowStore& store, const at::Tensor& queries, const ScoreOptions& options,
                         const Control& control);

/// M q of each query, [query, width] double: scores are its inner products with the rows. Without the cosine.
at::Tensor preconditioned(const RowStore& store, const at::Tensor& queries, const ScoreOptions& options,
                          const Control& control);

/// gᵀ M g of every row with itself, [row]; of TRAK (1 − p) φᵀ M φ.
at::Tensor store_self_scores(const RowStore& store, const ScoreOptions& options, const Control& control);

}  // namespace attribution
