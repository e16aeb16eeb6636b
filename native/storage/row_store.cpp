#include "storage/row_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/own_file.h"
#include "storage/mapped_file.h"

namespace attribution {
namespace {

/// A writer syncs so often that it spends at most a fiftieth of its time on that, and at least every two seconds.
constexpr int sync_share = 50;
constexpr std::chrono::seconds longest_unsynced{2};
/// How far the disk reads ahead of the rows at work.
constexpr uint64_t ahead_bytes = uint64_t{64} << 20;

at::ScalarType scalar_type(RowType type) {
  switch (type) {
    case RowType::float32:
      return at::kFloat;
    case RowType::float16:
      return at::kHalf;
    case RowType::bfloat16:
      return at::kBFloat16;
    case RowType::int8:
      return at::kChar;
  }
  fail(Code::unsupported, "Unknown row type");
}

void write_at(int file, const void* data, size_t size, uint64_t offset, const std::string& name) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  while (size > 0) {
    const ssize_t done = ::pwrite(file, bytes, size, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail_writing(name);
    bytes += done;
    offset += static_cast<uint64_t>(done);
    size -= static_cast<size_t>(done);
  }
}

/// int8 rows with a scale per segment: value = code · scale, the segment's largest at 127.
void quantise(const at::Tensor& values, const std::vector<int64_t>& segments, at::Tensor& codes, at::Tensor& scales) {
  const auto count = static_cast<int64_t>(segments.size()) - 1;
  codes = at::empty(values.sizes(), at::kChar);
  scales = at::empty({values.size(0), count}, at::kFloat);
  for (int64_t s = 0; s < count; ++s) {
    const at::Tensor part = values.narrow(1, segments[s], segments[s + 1] - segments[s]);
    const at::Tensor scale = part.abs().amax(1, true) / 127;
    scales.narrow(1, s, 1).copy_(scale);
    codes.narrow(1, segments[s], segments[s + 1] - segments[s])
        .copy_((part / scale.clamp_min(1e-38)).round_().clamp_(-127, 127));
  }
}

void dequantise(at::Tensor& values, const at::Tensor& scales, const std::vector<int64_t>& segments) {
  for (size_t s = 0; s + 1 < segments.size(); ++s) {
    values.narrow(1, segments[s], segments[s + 1] - segments[s]).mul_(scales.narrow(1, static_cast<int64_t>(s), 1));
  }
}

/// The segments that columns [begin, end) touch: the first one, and their bounds counted from `begin`.
std::pair<int64_t, std::vector<int64_t>> segments_within(const RowStore& store, int64_t begin, int64_t end) {
  const auto& all = store.segments;
  const auto first = std::upper_bound(all.begin(), all.end(), begin) - all.begin() - 1;
  std::vector<int64_t> bounds = {0};
  for (auto next = static_cast<size_t>(first) + 1; bounds.back() < end - begin; ++next)
    bounds.push_back(std::min(all[next], end) - begin);
  return {first, bounds};
}

}  // namespace

int64_t RowStore::rows() const {
  int64_t total = 0;
  for (const Shard& shard : shards) total += shard.rows;
  return total;
}

int64_t RowStore::row_bytes() const { return width() * static_cast<int64_t>(at::elementSize(scalar_type(type))); }

RowWriter::RowWriter(const RowStore& store, const std::string& flag_file) : store_(store) {
  try {
    int64_t first = 0;
    for (const Shard& shard : store.shards) {
      files_.push_back(open_own_file(shard.file, O_WRONLY));
      first_rows_.push_back(first);
      first += shard.rows;
    }
    changed_shards_.assign(store.shards.size(), 0);
    flags_.assign(static_cast<size_t>(store.rows()), 0);
    flag_file_ = open_own_file(flag_file, O_RDWR | O_CREAT);
    if (::pread(flag_file_, flags_.data(), flags_.size(), 0) < 0)
      fail(Code::native, "Cannot read \"", flag_file, "\": ", std::strerror(errno));
  } catch (...) {
    close_files();
    throw;
  }
}

RowWriter::~RowWriter() {
  try {
    sync();
  } catch (const Error&) {
    // The rows without a flag are computed again.
  }
  close_files();
}

void RowWriter::close_files() {
  for (const int file : files_) ::close(file);
  if (flag_file_ >= 0) ::close(flag_file_);
}

void RowWriter::write(std::span<const int64_t> rows, const at::Tensor& values, const at::Tensor& losses) {
  at::Tensor stored, scales;
  if (store_.type == RowType::int8) {
    quantise(values, store_.segments, stored, scales);
  } else {
    if (store_.type == RowType::float16 && values.abs().max().item<float>() > 65504)
      fail(Code::unsupported,
           "A feature exceeds 65504, the largest float16: build the store with another \"precision\"");
    stored = values.to(scalar_type(store_.type)).contiguous();
  }
  const auto bytes = static_cast<size_t>(store_.row_bytes());
  const size_t segments = store_.segments.size() - 1;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto shard = static_cast<size_t>(std::upper_bound(first_rows_.begin(), first_rows_.end(), rows[i]) -
                                           first_rows_.begin() - 1);
    const auto index = static_cast<uint64_t>(rows[i] - first_rows_[shard]);
    const Shard& target = store_.shards[shard];
    write_at(files_[shard], static_cast<const uint8_t*>(stored.const_data_ptr()) + i * bytes, bytes,
             target.features + index * bytes, target.file);
    if (scales.defined())
      write_at(files_[shard], scales.const_data_ptr<float>() + i * segments, segments * 4,
               target.scales + index * segments * 4, target.file);
    write_at(files_[shard], losses.const_data_ptr<float>() + i, 4, target.losses + index * 4, target.file);
    changed_shards_[shard] = 1;
  }
  for (const int64_t row : rows) {
    unflagged_.push_back(row);
    flags_[static_cast<size_t>(row)] = 1;
  }
  if (std::chrono::steady_clock::now() >= next_sync_) sync();
}

void RowWriter::sync() {
  using Clock = std::chrono::steady_clock;
  const auto begun = Clock::now();
  for (size_t i = 0; i < files_.size(); ++i) {
    if (changed_shards_[i] == 0) continue;
    if (::fdatasync(files_[i]) != 0) fail_writing(store_.shards[i].file);
    changed_shards_[i] = 0;
  }
  const uint8_t one = 1;
  for (const int64_t row : unflagged_) write_at(flag_file_, &one, 1, static_cast<uint64_t>(row), "the store's flags");
  if (!unflagged_.empty() && ::fdatasync(flag_file_) != 0) fail_writing("the store's flags");
  unflagged_.clear();
  const auto ended = Clock::now();
  next_sync_ = ended + std::min<Clock::duration>((ended - begun) * sync_share, longest_unsynced);
}

void for_row_blocks(const RowStore& store, const RowBlocks& blocks, const Control& control,
                    const std::function<void(int64_t, const at::Tensor&)>& each) {
  const int64_t width = store.width(), end = blocks.end > 0 ? blocks.end : width, columns = end - blocks.begin;
  const int64_t rows =
      std::clamp<int64_t>(std::min(blocks.memory_bytes / 3, blocks.block_bytes) / (columns * 4), 1, 1 << 16);
  const auto [first_segment, segments] = segments_within(store, blocks.begin, end);
  const bool in_place = store.type == RowType::float32;
  const at::Tensor buffer = in_place ? at::Tensor() : at::empty({rows, columns}, at::kFloat);
  const auto value_bytes = static_cast<uint64_t>(store.row_bytes() / width);
  const auto scales_of_row = static_cast<int64_t>(store.segments.size()) - 1;
  const int64_t total = store.rows();
  int64_t first = 0;
  for (const Shard& shard : store.shards) {
    const auto file = MappedFile::open(shard.file);
    uint64_t announced = shard.features;
    for (int64_t row = 0; row < shard.rows; row += rows) {
      control.progress(first, total, blocks.stage);
      const int64_t n = std::min(rows, shard.rows - row);
      const auto bytes = static_cast<uint64_t>(n * store.row_bytes()),
                 offset = shard.features + static_cast<uint64_t>(row * store.row_bytes());
      for (; columns == width && announced < offset + bytes + ahead_bytes / 2; announced += ahead_bytes / 2)
        file->will_need(announced, ahead_bytes / 2);
      auto* data = const_cast<uint8_t*>(file->bytes(offset, bytes)) + static_cast<uint64_t>(blocks.begin) * value_bytes;
      at::Tensor block = at::from_blob(data, {n, columns}, {width, 1}, scalar_type(store.type));
      if (!in_place) block = buffer.narrow(0, 0, n).copy_(block);
      if (store.type == RowType::int8) {
        auto* scales = const_cast<uint8_t*>(file->bytes(shard.scales + static_cast<uint64_t>(row * scales_of_row * 4),
                                                        static_cast<uint64_t>(n * scales_of_row * 4)));
        dequantise(block,
                   at::from_blob(scales, {n, scales_of_row}, at::kFloat).narrow(1, first_segment, segments.size() - 1),
                   segments);
      }
      each(first, block);
      file->require_unchanged();
      file->release(offset, bytes);
      first += n;
    }
  }
  control.progress(total, total, blocks.stage);
}

at::Tensor read_rows(const RowStore& store, const std::vector<int64_t>& rows) {
  at::Tensor result = at::empty({static_cast<int64_t>(rows.size()), store.width()}, at::kFloat);
  const auto segments = static_cast<int64_t>(store.segments.size()) - 1;
  const auto bytes = static_cast<uint64_t>(store.row_bytes());
  int64_t first = 0;
  for (const Shard& shard : store.shards) {
    const auto file = MappedFile::open(shard.file);
    for (size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] < 0 || rows[i] >= store.rows())
        fail(Code::invalid, "Row ", rows[i], " is outside the store's 0–", store.rows() - 1);
      if (rows[i] < first || rows[i] >= first + shard.rows) continue;
      const auto index = static_cast<uint64_t>(rows[i] - first);
      auto* data = const_cast<uint8_t*>(file->bytes(shard.features + index * bytes, bytes));
      at::Tensor row = result.narrow(0, static_cast<int64_t>(i), 1);
      row.copy_(at::from_blob(data, {1, store.width()}, at::TensorOptions().dtype(scalar_type(store.type))));
      if (store.type != RowType::int8) continue;
      auto* scales = const_cast<uint8_t*>(
          file->bytes(shard.scales + index * static_cast<uint64_t>(segments * 4), static_cast<uint64_t>(segments * 4)));
      dequantise(row, at::from_blob(scales, {1, segments}, at::kFloat), store.segments);
    }
    file->require_unchanged();
    first += shard.rows;
  }
  return result;
}

}  // namespace attribution
