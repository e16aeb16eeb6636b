// The rows of a store, walked over segment by segment: a segment is the features of one module, or all of them.
#pragma once
#include <functional>
#include <vector>

#include "instance/store/preconditioner.h"

namespace attribution {

struct Segment {
  int64_t begin, size;
  int64_t end() const { return begin + size; }
};

/// The segment's columns of [row, width].
at::Tensor part(const at::Tensor& x, const Segment& segment);

/// A value that divides; refused where all features of a module are zero.
double positive(double value);

/// Bytes of a square matrix in double.
int64_t square_bytes(int64_t size);

/// The rows, the options, and how to walk over them.
class SegmentRows {
 public:
  SegmentRows(const RowStore& store, const PreconditionerOptions& options, const Control& control);

  /// A module's features lie side by side; TRAK's are all one block.
  const std::vector<Segment>& segments() const { return segments_; }
  /// Neighbouring segments whose matrices fit the budget together, those in row space left out.
  std::vector<std::vector<Segment>> groups() const;

  /// Refuses a budget that cannot hold GGᵀ or GᵀG of a segment, its factor, and a column of the rows.
  void require_matrices() const;

  int64_t count() const { return count_; }
  double damping() const { return o_.damping; }
  bool in_row_space(const Segment& s) const { return count_ < s.size; }
  /// The factor of H: 1 / rows for a mean.
  double scale() const;
  /// λ of a segment from its H or its s GGᵀ, which have the same trace.
  double lambda(const at::Tensor& matrix, const Segment& s) const;
  /// Multiplies scores [query, row] by TRAK's doubts, where there are any.
  at::Tensor times_doubts(const at::Tensor& scores) const;

  /// Calls `each` with blocks of the columns of the segments [first, last), [n, column] double.
  void blocks(const Segment& first, const Segment& last, const char* stage, int64_t held,
              const std::function<void(int64_t row, const at::Tensor& block)>& each) const;
  /// Calls `each` with panels of a segment's columns, [row, column] double with all rows.
  void panels(const Segment& s, const char* stage, int64_t held,
              const std::function<void(const Segment& columns, const at::Tensor& panel)>& each) const;

 private:
  at::Tensor scaled(const at::Tensor& rows, int64_t first) const;

  const RowStore& store_;
  const PreconditionerOptions& o_;
  const Control& control_;
  const int64_t count_;
  const std::vector<Segment> segments_;
};

/// GGᵀ of a segment's rows (lower triangle), and q Gᵀ of each query.
struct Kernel {
  at::Tensor matrix, products;
};

Kernel kernel_of(const SegmentRows& rows, const Segment& segment, const at::Tensor& queries);

}  // namespace attribution
