#include "instance/store/segment_rows.h"

#include <algorithm>

#include "core/error.h"
#include "instance/store/damped_inverse.h"

namespace attribution {
namespace {

int64_t megabytes(int64_t bytes) { return (bytes + (int64_t{1} << 20) - 1) >> 20; }

std::vector<Segment> segments_of(const RowStore& store, Preconditioner preconditioner) {
  if (preconditioner == Preconditioner::trak) return {{0, store.width()}};
  std::vector<Segment> segments;
  for (size_t i = 0; i + 1 < store.segments.size(); ++i)
    segments.push_back({store.segments[i], store.segments[i + 1] - store.segments[i]});
  return segments;
}

}  // namespace

at::Tensor part(const at::Tensor& x, const Segment& segment) { return x.narrow(1, segment.begin, segment.size); }

double positive(double value) {
  if (!(value > 0)) fail(Code::invalid, "All features of a module are zero: nothing to precondition with");
  return value;
}

int64_t square_bytes(int64_t size) { return 8 * size * size; }

SegmentRows::SegmentRows(const RowStore& store, const PreconditionerOptions& options, const Control& control)
    : store_(store),
      o_(options),
      control_(control),
      count_(store.rows()),
      segments_(segments_of(store, options.preconditioner)) {}

std::vector<std::vector<Segment>> SegmentRows::groups() const {
  std::vector<std::vector<Segment>> groups;
  int64_t held = 0, largest = 0;
  bool joins = false;
  for (const Segment& s : segments_) {
    if (in_row_space(s)) {
      joins = false;
      continue;
    }
    largest = std::max(joins ? largest : 0, square_bytes(s.size));
    held = (joins ? held : 0) + square_bytes(s.size);
    if (!joins || held + largest > o_.memory_bytes * 3 / 4) {
      groups.emplace_back();
      held = largest = square_bytes(s.size);
    }
    groups.back().push_back(s);
    joins = true;
  }
  return groups;
}

void SegmentRows::require_matrices() const {
  for (const Segment& s : segments_) {
    const int64_t size = std::min(count_, s.size), needed = 16 * size * size + 24 * std::max(count_, size);
    if (needed > o_.memory_bytes)
      fail(Code::memory, "The products of ", count_, " rows of ", s.size, " features take ", megabytes(needed),
           " MB, but the budget is ", o_.memory_bytes >> 20,
           " MB: raise \"memory\", or build the store with a smaller \"rank\" or fewer \"parameters\"");
  }
}

double SegmentRows::scale() const {
  return o_.preconditioner == Preconditioner::trak ? 1 : 1 / static_cast<double>(count_);
}

double SegmentRows::lambda(const at::Tensor& matrix, const Segment& s) const {
  return o_.damping * positive(matrix.diagonal().sum().item<double>()) / static_cast<double>(s.size);
}

at::Tensor SegmentRows::times_doubts(const at::Tensor& scores) const {
  return o_.row_doubts.defined() ? scores * o_.row_doubts : scores;
}

void SegmentRows::blocks(const Segment& first, const Segment& last, const char* stage, int64_t held,
                         const std::function<void(int64_t row, const at::Tensor& block)>& each) const {
  // A matrix is read and written once a block: many rows at a time where it does not stay in the cache.
  const int64_t columns = last.end() - first.begin, room = std::max<int64_t>(o_.memory_bytes - held, 1),
                together = std::clamp<int64_t>(columns * 1024, int64_t{4} << 20, int64_t{64} << 20);
  for_row_blocks(store_, {stage, room, first.begin, last.end(), together}, control_,
                 [&](int64_t row, const at::Tensor& block) { each(row, scaled(block.to(at::kDouble), row)); });
}

void SegmentRows::panels(const Segment& s, const char* stage, int64_t held,
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

at::Tensor SegmentRows::scaled(const at::Tensor& rows, int64_t first) const {
  return o_.row_doubts.defined() ? rows / o_.row_doubts.narrow(0, first, rows.size(0)).unsqueeze(1) : rows;
}

Kernel kernel_of(const SegmentRows& rows, const Segment& segment, const at::Tensor& queries) {
  Kernel k{at::zeros({rows.count(), rows.count()}, at::kDouble),
           at::zeros({queries.size(0), rows.count()}, at::kDouble)};
  rows.panels(segment, "products of the rows", 2 * square_bytes(rows.count()),
              [&](const Segment& columns, const at::Tensor& panel) {
                add_outer_products(k.matrix, panel);
                k.products.addmm_(part(queries, columns), panel.t());
              });
  return k;
}

}  // namespace attribution
