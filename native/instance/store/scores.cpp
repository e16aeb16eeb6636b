#include "instance/store/scores.h"

#include <algorithm>

#include "core/error.h"
#include "model/linear.h"

namespace attribution {
namespace {

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

at::Tensor row_norms(const at::Tensor& rows) { return at::linalg_vector_norm(rows, 2, {1}); }

/// Scores over both norms; 0 where one is 0.
at::Tensor over_norms(const at::Tensor& scores, const at::Tensor& query_norms, const at::Tensor& norms) {
  const at::Tensor both = query_norms.unsqueeze(1) * norms.unsqueeze(0);
  return at::where(both.gt(0), scores / both, at::zeros_like(scores));
}

void check(const RowStore& store, const at::Tensor& queries, const ScoreOptions& o) {
  if (queries.dim() != 2 || queries.size(1) != store.width())
    fail(Code::mismatch, "The queries have ", queries.size(-1), " features, but the store has ", store.width());
  const bool trak = o.preconditioner == Preconditioner::trak;
  if (trak && (!o.row_doubts.defined() || o.row_doubts.size(0) != store.rows()))
    fail(Code::mismatch, "Expected 1 - p of each of ", store.rows(), " rows");
  if (trak && o.query_doubts.defined() && o.query_doubts.size(0) != queries.size(0))
    fail(Code::mismatch, "Expected 1 - p of each of ", queries.size(0), " queries");
  const int64_t row_bytes = store.width() * (o.preconditioner == Preconditioner::none ? 8 : 12);
  if (row_bytes > o.memory_bytes)
    fail(Code::memory, "A row of ", store.width(), " features takes ", row_bytes, " bytes, but the budget is ",
         o.memory_bytes, " bytes: raise \"memory\"");
}

/// φ of the queries, double.
at::Tensor scaled_queries(const at::Tensor& queries, const ScoreOptions& o) {
  const at::Tensor exact = queries.to(at::kDouble);
  const bool scales = o.preconditioner == Preconditioner::trak && o.query_doubts.defined();
  return scales ? exact / o.query_doubts.unsqueeze(1) : exact;
}

/// Blocks of scores as they come, into the full matrix or the best of each query.
class Collected {
 public:
  Collected(int64_t queries, int64_t rows, int64_t top) : best_(queries, top) {
    if (top == 0) full_ = at::empty({queries, rows}, at::kFloat);
  }
  void add(const at::Tensor& scores, int64_t first) {
    if (full_.defined())
      full_.narrow(1, first, scores.size(1)).copy_(scores);
    else
      best_.add(scores.to(at::kFloat), first);
  }
  StoreScores result() { return full_.defined() ? StoreScores{full_, {}} : best_.result(); }

 private:
  Best best_;
  at::Tensor full_;
};

/// Products of the stored floats themselves, as fast as they are read.
void plain_scores(const RowStore& store, const at::Tensor& queries, const ScoreOptions& o, const Control& control,
                  Collected& collected) {
  const at::Tensor norms = o.cosine ? row_norms(queries) : at::Tensor();
  const at::Tensor columns = queries.t().contiguous().t();  // column by column: faster against many rows
  for_row_blocks(store, {"scores", o.memory_bytes}, control, [&](int64_t first, const at::Tensor& block) {
    const at::Tensor scores = product(block, columns).t();  // [query, row]
    collected.add(o.cosine ? over_norms(scores, norms, row_norms(block)) : scores, first);
  });
}

void preconditioned_scores(const RowStore& store, const at::Tensor& queries, const ScoreOptions& o,
                           const Control& control, Collected& collected) {
  const PreconditionedQueries p =
      precondition(store, scaled_queries(queries, o), o, o.cosine ? Want::scores_squares : Want::scores, control);
  const auto add = [&](const at::Tensor& scores, int64_t first) {
    const at::Tensor all =
        p.scores.defined() ? scores + p.scores.narrow(1, first, scores.size(1)) : scores;  // [query, row]
    collected.add(
        o.cosine ? over_norms(all, p.query_squares.sqrt(), p.row_squares.narrow(0, first, all.size(1)).sqrt()) : all,
        first);
  };
  if (!p.reads_rows) return add(at::zeros_like(p.scores), 0);
  const at::Tensor columns = p.vectors.t().contiguous();
  for_row_blocks(store, {"scores", o.memory_bytes}, control, [&](int64_t first, const at::Tensor& block) {
    add(at::matmul(block.to(at::kDouble), columns).t(), first);
  });
}

}  // namespace

StoreScores store_scores(const RowStore& store, const at::Tensor& queries, const ScoreOptions& o,
                         const Control& control) {
  check(store, queries, o);
  const at::NoGradGuard no_grad;
  Collected collected(queries.size(0), store.rows(), o.top);
  if (o.preconditioner == Preconditioner::none)
    plain_scores(store, queries, o, control, collected);
  else
    preconditioned_scores(store, queries, o, control, collected);
  return collected.result();
}

at::Tensor preconditioned(const RowStore& store, const at::Tensor& queries, const ScoreOptions& o,
                          const Control& control) {
  check(store, queries, o);
  const at::NoGradGuard no_grad;
  return precondition(store, scaled_queries(queries, o), o, Want::vectors, control).vectors;
}

at::Tensor store_self_scores(const RowStore& store, const ScoreOptions& o, const Control& control) {
  check(store, at::empty({0, store.width()}), o);
  const at::NoGradGuard no_grad;
  if (o.preconditioner != Preconditioner::none) {
    const at::Tensor squares = row_squares(store, o, control);
    return (o.row_doubts.defined() ? squares * o.row_doubts : squares).to(at::kFloat);
  }
  at::Tensor squares = at::empty({store.rows()}, at::kFloat);
  for_row_blocks(store, {"self-influence", o.memory_bytes}, control, [&](int64_t first, const at::Tensor& block) {
    squares.narrow(0, first, block.size(0)).copy_(block.square().sum(1, false, at::kDouble));
  });
  return squares;
}

}  // namespace attribution
