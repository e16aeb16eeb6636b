// Reads one stored tensor (whatever its container) as a tensor of the compute type. A tensor already stored as that
// type is viewed in the map, not copied.
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "storage/mapped_file.h"

namespace attribution {

struct StoredTensor {
  std::string name;   // in the checkpoint
  std::string dtype;  // "F32", "F16", "BF16", "F64" or a GGUF block type
  std::vector<int64_t> shape;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  int64_t permuted_heads = 0;  // heads whose rows GGUF interleaved; 0: none
};

at::Tensor read_tensor(const std::shared_ptr<MappedFile>& file, const StoredTensor& stored, at::ScalarType dtype);

/// Undoes GGUF's order of a rotary query or key weight: rows [heads, half, 2] back to [heads, 2, half].
at::Tensor unpermute_rows(const at::Tensor& rows, int64_t heads);

}  // namespace attribution
