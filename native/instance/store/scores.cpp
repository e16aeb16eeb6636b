#include "instance/store/scores.h"

#include <ATen/ops/linalg_cholesky.h>

#include <algorithm>

#include "core/error.h"
#include "model/linear.h"

namespace attribution {
namespace {

struct Segment {
  int64_t begin, size;
};

std::vector<Segment> segments_of(const RowStore& store, Preconditioner preconditioner) {
  if (preconditioner == Preconditioner::trak) return {{0, store.width()}};
  std::vector<Segment> segments;
  for (size_t i = 0; i + 1 < store.segments.size(); ++i)
    segments.push_back({store.segments[i], store.segments[i + 1] - store.segments[i]});
  return segments;
}

at::Tensor part(const at::Tensor& x, const Segment& s) { return x.narrow(1, s.begin, s.size); }

at::Tensor scaled(const at::Tensor& block, const at::Tensor& factors, int64_t first) {
  return factors.defined() ? block * factors.narrow(0, first, block.size(0)).unsqueeze(1) : block;
}

/// Mean of g gᵀ per segment, double.
std::vector<at::Tensor> second_moments(const RowStore& store, const std::vector<Segment>& segments,
                                       const ScoreOptions& o, const Control& control) {
  std::vector<at::Tensor> sums;
  for (const Segment& s : segments) sums.push_back(at::zeros({s.size, s.size}, at::kDouble));
  for_row_blocks(store, o.memory_bytes, "second moments", control, [&](int64_t first, const at::Tensor& block) {
    const at::Tensor rows = scaled(block, o.row_factors, first);
    for (size_t i = 0; i < segments.size(); ++i) {
      const at::Tensor g = part(rows, segments[i]).t().contiguous();
      sums[i] += product(g, g);
    }
  });
  const bool mean = o.preconditioner != Preconditioner::trak;
  for (at::Tensor& sum : sums) {
    if (mean) sum /= static_cast<double>(store.rows());
    const double diagonal = sum.diagonal().mean().item<double>();
    if (!(diagonal > 0)) fail(Code::invalid, "All features of a module are zero: nothing to precondition with");
    sum.diagonal().add_(o.damping * diagonal);
  }
  return sums;
}

/// H^(-1/2) of a symmetric positive matrix.
at::Tensor inverse_root(const at::Tensor& matrix) {
  const auto [values, vectors] = at::linalg_eigh(matrix);
  return at::matmul(vectors * values.clamp_min(1e-300).rsqrt(), vectors.t());
}

/// The best `top` of each query, kept while blocks pass; equal scores in the order of the rows.
class Best {
 public:
  Best(int64_t queries, int64_t top) : top_(static_cast<size_t>(top)), heaps_(static_cast<size_t>(queries)) {}

  void add(const at::Tensor& scores, int64_t first) {
    const at::Tensor block = scores.contiguous();
    for (size_t q = 0; q < heaps_.size(); ++q) {
      const float* row = block.const_data_ptr<float>() + static_cast<int64_t>(q) * block.size(1);
      auto& heap = heaps_[q];
      for (int64_t i = 0; i < block.size(1); ++i) {
        if (heap.size() == top_ && !(row[i] > heap.front().score)) continue;
        if (heap.size() == top_) {
          std::pop_heap(heap.begin(), heap.end(), before);
          heap.pop_back();
        }
        heap.push_back({row[i], first + i});
        std::push_heap(heap.begin(), heap.end(), before);
      }
    }
  }

  StoreScores result() {
    const auto queries = static_cast<int64_t>(heaps_.size()),
               kept = static_cast<int64_t>(heaps_.empty() ? 0 : heaps_[0].size());
    StoreScores best{at::empty({queries, kept}, at::kFloat), at::empty({queries, kept}, at::kInt)};
    for (int64_t q = 0; q < queries; ++q) {
      auto& heap = heaps_[static_cast<size_t>(q)];
      std::sort(heap.begin(), heap.end(), before);
      for (int64_t i = 0; i < kept; ++i) {
        best.scores.data_ptr<float>()[q * kept + i] = heap[static_cast<size_t>(i)].score;
        best.indices.data_ptr<int32_t>()[q * kept + i] = static_cast<int32_t>(heap[static_cast<size_t>(i)].row);
      }
    }
    return best;
  }

 private:
  struct Entry {
    float score;
    int64_t row;
  };
  static bool before(const Entry& a, const Entry& b) {
    return a.score > b.score || (a.score == b.score && a.row < b.row);
  }

  size_t top_;
  std::vector<std::vector<Entry>> heaps_;  // the last of the kept in front
};

/// λ = damping · mean of g² per module.
std::vector<double> datainf_lambda(const RowStore& store, const std::vector<Segment>& segments, const ScoreOptions& o,
                                   const Control& control) {
  std::vector<double> lambda(segments.size(), 0);
  for_row_blocks(store, o.memory_bytes, "norms", control, [&](int64_t, const at::Tensor& block) {
    for (size_t i = 0; i < segments.size(); ++i)
      lambda[i] += part(block, segments[i]).square().sum(at::kDouble).item<double>();
  });
  for (size_t i = 0; i < segments.size(); ++i) {
    lambda[i] *= o.damping / static_cast<double>(store.rows() * segments[i].size);
    if (!(lambda[i] > 0)) fail(Code::invalid, "All features of a module are zero: nothing to precondition with");
  }
  return lambda;
}

/// r = (1 / nλ) Σ_i [v − (vᵀg_i) / (λ + ‖g_i‖²) g_i] per module.
at::Tensor datainf_queries(const RowStore& store, const at::Tensor& queries, const ScoreOptions& o,
                           const Control& control) {
  const auto segments = segments_of(store, o.preconditioner);
  const std::vector<double> lambda = datainf_lambda(store, segments, o, control);
  const auto n = static_cast<double>(store.rows());
  at::Tensor sums = at::zeros(queries.sizes(), at::kDouble);
  for_row_blocks(store, o.memory_bytes, "DataInf", control, [&](int64_t, const at::Tensor& block) {
    for (size_t i = 0; i < segments.size(); ++i) {
      const at::Tensor g = part(block, segments[i]);
      const at::Tensor weights =
          at::matmul(part(queries, segments[i]), g.t()) / (g.square().sum(1) + lambda[i]).unsqueeze(0);  // [query, row]
      part(sums, segments[i]) += at::matmul(weights, g);
    }
  });
  at::Tensor result = at::empty_like(queries);
  for (size_t i = 0; i < segments.size(); ++i) {
    part(result, segments[i])
        .copy_((n * part(queries, segments[i]).to(at::kDouble) - part(sums, segments[i])) / (n * lambda[i]));
  }
  return result;
}

/// Per segment a matrix that rows and queries go through before a cosine; empty: none.
struct Prepared {
  at::Tensor queries;
  std::vector<at::Tensor> roots;
};

Prepared prepare(const RowStore& store, const at::Tensor& given, const ScoreOptions& o, const Control& control) {
  const at::Tensor queries = scaled(given, o.query_factors, 0);
  if (o.preconditioner == Preconditioner::none) return {queries, {}};
  if (o.preconditioner == Preconditioner::datainf) return {datainf_queries(store, queries, o, control), {}};
  const auto segments = segments_of(store, o.preconditioner);
  const auto moments = second_moments(store, segments, o, control);
  Prepared prepared{queries.clone(), {}};
  for (size_t i = 0; i < segments.size(); ++i) {
    at::Tensor own = part(prepared.queries, segments[i]);
    if (o.cosine) {
      prepared.roots.push_back(inverse_root(moments[i]).to(at::kFloat));
      own.copy_(at::matmul(own, prepared.roots.back()));
    } else {
      const at::Tensor factor = at::linalg_cholesky(moments[i]);
      own.copy_(at::cholesky_solve(own.t().to(at::kDouble), factor).t());
    }
  }
  return prepared;
}

at::Tensor through(const at::Tensor& block, const RowStore& store, const std::vector<at::Tensor>& roots,
                   Preconditioner preconditioner) {
  if (roots.empty()) return block;
  std::vector<at::Tensor> parts;
  const auto segments = segments_of(store, preconditioner);
  for (size_t i = 0; i < segments.size(); ++i)
    parts.push_back(product(part(block, segments[i]).contiguous(), roots[i]));
  return at::cat(parts, 1);
}

/// DataInf's M = (nI − Σ_i g_i g_iᵀ / (λ + ‖g_i‖²)) / nλ per module: self-influence needs it whole, a query does not.
std::vector<at::Tensor> datainf_matrices(const RowStore& store, const std::vector<Segment>& segments,
                                         const ScoreOptions& o, const Control& control) {
  const std::vector<double> lambda = datainf_lambda(store, segments, o, control);
  std::vector<at::Tensor> matrices;
  for (const Segment& s : segments) matrices.push_back(at::zeros({s.size, s.size}, at::kDouble));
  for_row_blocks(store, o.memory_bytes, "DataInf", control, [&](int64_t, const at::Tensor& block) {
    for (size_t i = 0; i < segments.size(); ++i) {
      const at::Tensor g = part(block, segments[i]);
      const at::Tensor weighted = g / (g.square().sum(1, true) + lambda[i]).sqrt(), columns = weighted.t().contiguous();
      matrices[i] -= product(columns, columns);
    }
  });
  const auto n = static_cast<double>(store.rows());
  for (size_t i = 0; i < segments.size(); ++i) {
    matrices[i].diagonal().add_(n);
    matrices[i] = matrices[i].div_(n * lambda[i]).to(at::kFloat);
  }
  return matrices;
}

/// Of self-influence per segment: DataInf's M, the others' M^(1/2), or nothing.
std::vector<at::Tensor> self_matrices(const RowStore& store, const std::vector<Segment>& segments,
                                      const ScoreOptions& o, const Control& control) {
  if (o.preconditioner == Preconditioner::none) return {};
  if (o.preconditioner == Preconditioner::datainf) return datainf_matrices(store, segments, o, control);
  std::vector<at::Tensor> roots;
  for (const at::Tensor& moment : second_moments(store, segments, o, control))
    roots.push_back(inverse_root(moment).to(at::kFloat));
  return roots;
}

at::Tensor normalised(const at::Tensor& x) { return x / x.square().sum(1, true).sqrt().clamp_min(1e-30); }

void check(const RowStore& store, const at::Tensor& queries, const ScoreOptions& o) {
  if (queries.dim() != 2 || queries.size(1) != store.width())
    fail(Code::mismatch, "The queries have ", queries.size(-1), " features, but the store has ", store.width());
  if (o.row_factors.defined() && o.row_factors.size(0) != store.rows())
    fail(Code::mismatch, "Expected a factor for each of ", store.rows(), " rows");
  if (o.score_factors.defined() && o.score_factors.size(0) != store.rows())
    fail(Code::mismatch, "Expected a factor for the scores of each of ", store.rows(), " rows");
  if (o.query_factors.defined() && o.query_factors.size(0) != queries.size(0))
    fail(Code::mismatch, "Expected a factor for each of ", queries.size(0), " queries");
}

}  // namespace

StoreScores store_scores(const RowStore& store, const at::Tensor& given, const ScoreOptions& o,
                         const Control& control) {
  check(store, given, o);
  const at::NoGradGuard no_grad;
  const Prepared prepared = prepare(store, given, o, control);
  const at::Tensor queries = o.cosine ? normalised(prepared.queries) : prepared.queries;
  Best best(queries.size(0), o.top);
  const at::Tensor columns =
      queries.t().contiguous().t();  // lies column by column: the faster orientation against many rows
  at::Tensor full = o.top > 0 ? at::Tensor() : at::empty({queries.size(0), store.rows()}, at::kFloat);
  for_row_blocks(store, o.memory_bytes, "scores", control, [&](int64_t first, const at::Tensor& block) {
    const at::Tensor rows = through(scaled(block, o.row_factors, first), store, prepared.roots, o.preconditioner);
    at::Tensor scores = product(rows, columns).t();  // [query, row]
    if (o.cosine) scores = scores / rows.square().sum(1).sqrt().clamp_min(1e-30);
    if (o.score_factors.defined()) scores = scores * o.score_factors.narrow(0, first, scores.size(1));
    if (o.top > 0) {
      best.add(scores, first);
    } else {
      full.narrow(1, first, scores.size(1)).copy_(scores);
    }
  });
  return o.top > 0 ? best.result() : StoreScores{full, {}};
}

at::Tensor preconditioned(const RowStore& store, const at::Tensor& queries, const ScoreOptions& o,
                          const Control& control) {
  ScoreOptions dot = o;
  dot.cosine = false;
  check(store, queries, dot);
  const at::NoGradGuard no_grad;
  return prepare(store, queries, dot, control).queries;
}

at::Tensor store_self_scores(const RowStore& store, const ScoreOptions& o, const Control& control) {
  check(store, at::empty({1, store.width()}), o);
  const at::NoGradGuard no_grad;
  const auto segments = segments_of(store, o.preconditioner);
  const std::vector<at::Tensor> matrices = self_matrices(store, segments, o, control);
  at::Tensor self = at::empty({store.rows()}, at::kFloat);
  for_row_blocks(store, o.memory_bytes, "self-influence", control, [&](int64_t first, const at::Tensor& block) {
    const at::Tensor rows = scaled(block, o.row_factors, first);
    at::Tensor sums = at::zeros({block.size(0)}, at::kDouble);
    for (size_t i = 0; i < segments.size(); ++i) {
      const at::Tensor g = part(rows, segments[i]).contiguous();
      const at::Tensor squares = matrices.empty()                              ? g.square()
                                 : o.preconditioner == Preconditioner::datainf ? product(g, matrices[i]) * g
                                                                               : product(g, matrices[i]).square();
      sums += squares.sum(1, false, at::kDouble);
    }
    if (o.score_factors.defined()) sums *= o.score_factors.narrow(0, first, sums.size(0));
    self.narrow(0, first, block.size(0)).copy_(sums);
  });
  return self;
}

}  // namespace attribution
