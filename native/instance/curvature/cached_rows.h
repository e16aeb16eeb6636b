// Where the cached states of each instance lie.
#pragma once
#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace attribution {

/// Cached rows of states, those of an instance one after the other, instances in the order of the data set.
struct CachedRows {
  std::vector<int64_t> offsets;  // [instance + 1]

  int64_t instances() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t total() const { return offsets.back(); }
  int64_t count(int64_t instance) const {
    return offsets[static_cast<size_t>(instance) + 1] - offsets[static_cast<size_t>(instance)];
  }
  /// Rows of the instances, one after the other.
  at::Tensor rows_of(const std::vector<int64_t>& instances, at::Device device) const;
  /// The instance of each row, [row].
  at::Tensor owners(at::Device device) const;
};

}  // namespace attribution
