#include "storage/tensor_reader.h"

#include <ATen/Parallel.h>

#include "core/error.h"
#include "storage/blocks.h"

namespace attribution {
namespace {

std::optional<at::ScalarType> plain_type(const std::string& name) {
  if (name == "F32") return at::kFloat;
  if (name == "F16") return at::kHalf;
  if (name == "BF16") return at::kBFloat16;
  if (name == "F64") return at::kDouble;
  return std::nullopt;
}

int64_t count(const StoredTensor& stored) {
  int64_t n = 1;
  for (const int64_t size : stored.shape) {
    if (size < 0 || (size > 0 && n > (int64_t{1} << 46) / size))
      fail(Code::corrupt, "Tensor \"", stored.name, "\" has an impossible shape");
    n *= size;
  }
  return n;
}

at::Tensor read_plain(const std::shared_ptr<MappedFile>& file, const StoredTensor& stored, at::ScalarType type,
                      at::ScalarType dtype) {
  const uint64_t size = static_cast<uint64_t>(count(stored)) * at::elementSize(type);
  if (size != stored.bytes)
    fail(Code::corrupt, "Tensor \"", stored.name, "\" should take ", size, " bytes but takes ", stored.bytes);
  auto* data = const_cast<uint8_t*>(file->bytes(stored.offset, size));
  const bool aligned = reinterpret_cast<uintptr_t>(data) % at::elementSize(type) == 0;
  if (!aligned) {
    at::Tensor copy = at::empty(stored.shape, type);
    std::memcpy(copy.data_ptr(), data, size);
    file->release(stored.offset, size);
    return copy.to(dtype);
  }
  at::Tensor view = at::from_blob(
      data, stored.shape, [file](void*) {}, at::TensorOptions().dtype(type));
  if (type == dtype) return view;
  at::Tensor converted = view.to(dtype);
  file->release(stored.offset, size);
  return converted;
}

at::Tensor read_blocks(const std::shared_ptr<MappedFile>& file, const StoredTensor& stored, const BlockType& type,
                       at::ScalarType dtype) {
  const int64_t values = count(stored);
  if (stored.shape.empty() || stored.shape.back() % type.values != 0) {
    fail(Code::corrupt, "Tensor \"", stored.name, "\": rows of ", stored.dtype, " must be multiples of ", type.values,
         " values");
  }
  const int64_t blocks = values / type.values;
  if (static_cast<uint64_t>(blocks * type.bytes) != stored.bytes) {
    fail(Code::corrupt, "Tensor \"", stored.name, "\" should take ", blocks * type.bytes, " bytes but takes ",
         stored.bytes);
  }
  const uint8_t* data = file->bytes(stored.offset, stored.bytes);
  at::Tensor result = at::empty(stored.shape, at::kFloat);
  float* out = result.data_ptr<float>();
  at::parallel_for(0, blocks, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) type.dequantise(data + i * type.bytes, out + i * type.values);
  });
  file->release(stored.offset, stored.bytes);
  return result.to(dtype);
}

}  // namespace

at::Tensor unpermute_rows(const at::Tensor& rows, int64_t heads) {
  const int64_t half = rows.size(0) / heads / 2;
  return rows.reshape({heads, half, 2, -1}).transpose(1, 2).reshape(rows.sizes()).contiguous();
}

at::Tensor read_tensor(const std::shared_ptr<MappedFile>& file, const StoredTensor& stored, at::ScalarType dtype) {
  at::Tensor tensor;
  if (const auto plain = plain_type(stored.dtype)) {
    tensor = read_plain(file, stored, *plain, dtype);
  } else if (const auto blocks = block_type(stored.dtype)) {
    tensor = read_blocks(file, stored, *blocks, dtype);
  } else {
    fail(Code::unsupported, "Tensor \"", stored.name, "\" is stored as \"", stored.dtype, "\", which is not supported");
  }
  return stored.permuted_heads > 0 ? unpermute_rows(tensor, stored.permuted_heads) : tensor;
}

}  // namespace attribution
