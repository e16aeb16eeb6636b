// Rows of features on disk: safetensors shards of equal width, made whole beforehand, written row by row and read in
// blocks. Knows nothing of gradients.
#pragma once
#include <ATen/ATen.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/control.h"

namespace attribution {

enum class RowType { float32, float16, bfloat16, int8 };

struct Shard {
  std::string file;
  int64_t rows = 0;
  uint64_t features = 0;  // offset of [row, width]
  uint64_t scales = 0;    // offset of [row, segment] float32, int8 only
  uint64_t losses = 0;    // offset of [row] float32
};

struct RowStore {
  std::vector<Shard> shards;
  RowType type = RowType::float32;
  std::vector<int64_t> segments;  // first feature of each segment (a module), and the width at the end

  int64_t width() const { return segments.back(); }
  int64_t rows() const;
  int64_t row_bytes() const;
};

/// Writes rows of a store and the flag of each, one byte per row in a file of its own. A flag is set once its row is on
/// the disk, so a writer can be killed, and the machine can lose its power, at any moment. What was written since the
/// last sync, at most two seconds' work, is then computed again.
class RowWriter {
 public:
  RowWriter(const RowStore& store, const std::string& flag_file);
  ~RowWriter();  // syncs, as far as that is possible
  RowWriter(const RowWriter&) = delete;
  RowWriter& operator=(const RowWriter&) = delete;

  bool written(int64_t row) const { return flags_[static_cast<size_t>(row)] == 1; }
  /// values [n, width] and losses [n], float on the CPU, go to the given rows. Refuses values that the store's type
  /// cannot hold.
  void write(std::span<const int64_t> rows, const at::Tensor& values, const at::Tensor& losses);
  /// Brings all rows to the disk, then their flags.
  void sync();

 private:
  void close_files();
  const RowStore& store_;
  std::vector<int> files_;
  std::vector<int64_t> first_rows_;
  int flag_file_ = -1;
  std::vector<uint8_t> flags_;
  std::vector<int64_t> unflagged_;       // rows that are written, but perhaps not on the disk
  std::vector<uint8_t> changed_shards_;  // since the last sync
  std::chrono::steady_clock::time_point next_sync_{};
};

/// Which values of the rows a pass reads, and how many rows at a time.
struct RowBlocks {
  const char* stage;                       // for progress
  int64_t memory_bytes;                    // a block takes at most so much, as floats and as doubles
  int64_t begin = 0;                       // columns [begin, end)
  int64_t end = 0;                         // 0: all columns
  int64_t block_bytes = int64_t{4} << 20;  // of floats: what stays in the cache while it is converted and multiplied
};

/// Calls `each` with consecutive blocks of rows, [n, column] float, read-only. The disk reads ahead meanwhile.
void for_row_blocks(const RowStore& store, const RowBlocks& blocks, const Control& control,
                    const std::function<void(int64_t first, const at::Tensor& block)>& each);

/// Chosen rows in the order given, [n, width] float; reads nothing else.
at::Tensor read_rows(const RowStore& store, const std::vector<int64_t>& rows);

}  // namespace attribution
