// Scores of queries against the rows of a store, without a model. The store streams through once per pass; the full
// matrix is never held unless it is asked for.
#pragma once
#include "storage/row_store.h"

namespace attribution {

/// What is done to the features before the inner product.
enum class Preconditioner {
  none,
  gauss_newton,  // (H' + λI)⁻¹ on the query, H' the mean of g gᵀ over the store, module by module; with the cosine
                 // H'^(-1/2) on both
  datainf,  // Kwon et al. 2024
  trak,  // (ΦᵀΦ + λI)⁻¹ over all modules together, rows and queries scaled by `row_factors` and `query_factors`
};

struct ScoreOptions {
  Preconditioner preconditioner = Preconditioner::none;
  double damping = 0.1;  // λ as a share of the mean diagonal
  bool cosine = false;
  int64_t top = 0;                        // of each query; 0: the full matrix
  at::Tensor row_factors, query_factors;  // [row], [query]: scale the features; or undefined
  at::Tensor score_factors;               // [row]: scale the scores; or undefined
  int64_t memory_bytes = int64_t{1} << 30;
};

struct StoreScores {
  at::Tensor scores;   // [query, row] float, or [query, top], best first
  at::Tensor indices;  // [query, top] int, with `top`
};

/// queries [query, width] float.
StoreScores store_scores(const RowStore& store, const at::Tensor& queries, const ScoreOptions& options,
                         const Control& control);

/// M q of each query, [query, width], so that scores are inner products with the rows (scaled by `row_factors` and
/// `score_factors`). Without the cosine.
at::Tensor preconditioned(const RowStore& store, const at::Tensor& queries, const ScoreOptions& options,
                          const Control& control);

/// gᵀ M g of every row with itself, [row].
at::Tensor store_self_scores(const RowStore& store, const ScoreOptions& options, const Control& control);

}  // namespace attribution
