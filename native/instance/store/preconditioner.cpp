#include "instance/store/preconditioner.h"

#include <algorithm>

#include "core/error.h"
#include "instance/store/damped_inverse.h"

namespace attribution {
namespace {

struct Segment {
  int64_t begin, size;
  int64_t end() const { return begin + size; }
};

at::Tensor part(const at::Tensor& x, const Segment& s) { return x.narrow(1, s.begin, s.size); }

int64_t megabytes(int64_t bytes) { return (bytes + (int64_t{1} << 20) - 1) >> 20; }

/// A module's features lie side by side; TRAK's are all one block.
std::vector<Segment> segments_of(const RowStore& store, Preconditioner preconditioner) {
  if (preconditioner == Preconditioner::trak) return {{0, store.width()}};
  std::vector<Segment> segments;
  for (size_t i = 0; i + 1 < store.segments.size(); ++i)
    segments.push_back({store.segments[i], store.segments[i + 1] - store.segments[i]});
  return segments;
}

double positive(double value) {
  if (!(value > 0)) fail(Code::invalid, "All features of a module are zero: nothing to precondition with");
  return value;
}

/// The rows, the options, and how to walk over them.
class Rows {
 public:
  Rows(const RowStore& store, const PreconditionerOptions& o, const Control& control)
      : store_(store), o_(o), control_(control), count_(store.rows()) {}

  /// Refuses a budget that cannot hold GGᵀ or GᵀG of a segment, its factor, and a column of the rows.
  void require_matrices(const std::vector<Segment>& segments) const {
    for (const Segment& s : segments) {
      const int64_t size = std::min(count_, s.size), needed = 16 * size * size + 24 * std::max(count_, size);
      if (needed > o_.memory_bytes)
        fail(Code::memory, "The products of ", count_, " rows of ", s.size, " features take ", megabytes(needed),
             " MB, but the budget is ", o_.memory_bytes >> 20,
             " MB: raise \"memory\", or build the store with a smaller \"rank\" or fewer \"parameters\"");
    }
  }

  int64_t count() const { return count_; }
  bool in_row_space(const Segment& s) const { return count_ < s.size; }
  /// The factor of H: 1 / rows for a mean.
  double scale() const { return o_.preconditioner == Preconditioner::trak ? 1 : 1 / static_cast<double>(count_); }
  double lambda(const at::Tensor& matrix, const Segment& s) const {
    return o_.damping * positive(matrix.diagonal().sum().item<double>()) / static_cast<double>(s.size);
  }

  /// Calls `each` with blocks of the columns of the segments [first, last), [n, column] double.
  void blocks(const Segment& first, const Segment& last, const char* stage, int64_t held,
              const std::function<void(int64_t row, const at::Tensor& block)>& each) const {
    // A matrix is read and written once a block: many rows at a time where it does not stay in the cache.
    const int64_t columns = last.end() - first.begin, room = std::max<int64_t>(o_.memory_bytes - held, 1),
                  together = std::clamp<int64_t>(columns * 1024, int64_t{4} << 20, int64_t{64} << 20);
    for_row_blocks(store_, {stage, room, first.begin, last.end(), together}, control_,
                   [&](int64_t row, const at::Tensor& block) { each(row, scaled(block.to(at::kDouble), row)); });
  }

  /// Calls `each` with panels of a segment's columns, [row, column] double with all rows.
  void panels(const Segment& s, const char* stage, int64_t held,
              const std::function<void(const Segment& columns, const at::Tensor& panel)>& each) const {
    const int64_t room = o_.memory_bytes - held, width = std::clamp<int64_t>(room / (24 * count_), 1, 4096);
    for (int64_t begin = s.begin; begin < s.end(); begin += width) {
      const Segment columns{begin, std::min(width, s.end() - begin)};
      at::Tensor panel = at::empty({count_, columns.size}, at::kDouble);
      for_row_blocks(store_, {stage, room / 2, begin, columns.end()}, control_,
                     [&](int64_t row, const at::Tensor& block) { panel.narrow(0, row, block.size(0)).copy_(block); });
      each(columns, scaled(panel, 0));
    }
  }

 private:
  at::Tensor scaled(const at::Tensor& rows, int64_t first) const {
    return o_.row_doubts.defined() ? rows / o_.row_doubts.narrow(0, first, rows.size(0)).unsqueeze(1) : rows;
  }

  const RowStore& store_;
  const PreconditionerOptions& o_;
  const Control& control_;
  const int64_t count_;
};

int64_t square_bytes(int64_t size) { return 8 * size * size; }

/// Neighbouring segments whose matrices fit the budget together, those in row space left out.
std::vector<std::vector<Segment>> groups_of(const std::vector<Segment>& segments, const Rows& rows, int64_t memory) {
  std::vector<std::vector<Segment>> groups;
  int64_t held = 0, largest = 0;
  bool joins = false;
  for (const Segment& s : segments) {
    if (rows.in_row_space(s)) {
      joins = false;
      continue;
    }
    largest = std::max(joins ? largest : 0, square_bytes(s.size));
    held = (joins ? held : 0) + square_bytes(s.size);
    if (!joins || held + largest > memory * 3 / 4) {
      groups.emplace_back();
      held = largest = square_bytes(s.size);
    }
    groups.back().push_back(s);
    joins = true;
  }
  return groups;
}

/// GGᵀ of a segment's rows (lower triangle), and q Gᵀ of each query.
struct Kernel {
  at::Tensor matrix, products;
};

Kernel kernel_of(const Rows& rows, const Segment& s, const at::Tensor& queries) {
  Kernel k{at::zeros({rows.count(), rows.count()}, at::kDouble),
           at::zeros({queries.size(0), rows.count()}, at::kDouble)};
  rows.panels(s, "products of the rows", 2 * square_bytes(rows.count()),
              [&](const Segment& columns, const at::Tensor& panel) {
                add_outer_products(k.matrix, panel);
                k.products.addmm_(part(queries, columns), panel.t());
              });
  return k;
}

/// (s GᵀG + λI)⁻¹ of queries, through the rows: W = q Gᵀ (s GGᵀ + λI)⁻¹ are the scores, and (q − s W G) / λ is M q.
void solve_in_row_space(const Rows& rows, const Segment& s, const at::Tensor& queries, const at::Tensor& doubts,
                        Want want, PreconditionedQueries& result) {
  const double scale = rows.scale();
  Kernel k = kernel_of(rows, s, queries);
  k.matrix.mul_(scale);
  const DampedInverse inverse(k.matrix, rows.lambda(k.matrix, s));
  k.matrix.reset();
  const at::Tensor weights = inverse.solve(k.products);  // [query, row]
  if (want != Want::vectors) {
    const at::Tensor scores = doubts.defined() ? weights * doubts : weights;
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
void solve_in_feature_space(const Rows& rows, const std::vector<Segment>& group, const at::Tensor& queries, Want want,
                            PreconditionedQueries& result) {
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

/// λ = damping · mean of g² per module.
std::vector<double> datainf_lambda(const Rows& rows, const std::vector<Segment>& segments, double damping) {
  std::vector<double> lambda(segments.size(), 0);
  rows.blocks(segments.front(), segments.back(), "norms", 0, [&](int64_t, const at::Tensor& block) {
    for (size_t i = 0; i < segments.size(); ++i) lambda[i] += part(block, segments[i]).square().sum().item<double>();
  });
  for (size_t i = 0; i < segments.size(); ++i)
    lambda[i] = damping * positive(lambda[i]) / static_cast<double>(rows.count() * segments[i].size);
  return lambda;
}

/// r = (1 / nλ) Σ_i [v − (vᵀg_i) / (λ + ‖g_i‖²) g_i] per module.
at::Tensor datainf_queries(const Rows& rows, const std::vector<Segment>& segments, const at::Tensor& queries,
                           double damping) {
  const std::vector<double> lambda = datainf_lambda(rows, segments, damping);
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
  return result;
}

/// g M g with DataInf's M = (nI − Σ_i g_i g_iᵀ / (λ + ‖g_i‖²)) / nλ: from the products of the rows.
void datainf_row_squares(const Rows& rows, const Segment& s, double damping, at::Tensor& result) {
  at::Tensor kernel = kernel_of(rows, s, at::empty({0, s.end()}, at::kDouble)).matrix;
  mirror(kernel);
  const at::Tensor norms = kernel.diagonal().clone();
  const auto n = static_cast<double>(rows.count());
  const double lambda = damping * positive(norms.sum().item<double>()) / (n * static_cast<double>(s.size));
  result += (n * norms - at::matmul(kernel.square_(), 1 / (norms + lambda))) / (n * lambda);
}

/// The same from M itself, of modules with more rows than features.
void datainf_row_squares(const Rows& rows, const std::vector<Segment>& group, double damping, at::Tensor& result) {
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
    lambda[i] = damping * positive(lambda[i]) / (n * static_cast<double>(group[i].size));
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

PreconditionedQueries precondition(const RowStore& store, const at::Tensor& queries, const PreconditionerOptions& o,
                                   Want want, const Control& control) {
  PreconditionedQueries result;
  if (o.preconditioner == Preconditioner::none) {
    result.vectors = queries;
    return result;
  }
  const Rows rows(store, o, control);
  const auto segments = segments_of(store, o.preconditioner);
  if (o.preconditioner == Preconditioner::datainf) {
    result.vectors = datainf_queries(rows, segments, queries, o.damping);
    return result;
  }
  rows.require_matrices(segments);
  result.vectors = at::zeros_like(queries);
  result.query_squares = at::zeros({queries.size(0)}, at::kDouble);
  result.row_squares = at::zeros({rows.count()}, at::kDouble);
  for (const Segment& s : segments) {
    if (rows.in_row_space(s)) solve_in_row_space(rows, s, queries, o.row_doubts, want, result);
  }
  const auto groups = groups_of(segments, rows, o.memory_bytes);
  for (const auto& group : groups) solve_in_feature_space(rows, group, queries, want, result);
  result.reads_rows = !groups.empty();
  return result;
}

at::Tensor row_squares(const RowStore& store, const PreconditionerOptions& o, const Control& control) {
  if (o.preconditioner != Preconditioner::datainf)
    return precondition(store, at::zeros({0, store.width()}, at::kDouble), o, Want::scores_squares, control)
        .row_squares;
  const Rows rows(store, o, control);
  const auto segments = segments_of(store, o.preconditioner);
  rows.require_matrices(segments);
  at::Tensor result = at::zeros({rows.count()}, at::kDouble);
  for (const Segment& s : segments) {
    if (rows.in_row_space(s)) datainf_row_squares(rows, s, o.damping, result);
  }
  for (const auto& group : groups_of(segments, rows, o.memory_bytes))
    datainf_row_squares(rows, group, o.damping, result);
  return result;
}

}  // namespace attribution
