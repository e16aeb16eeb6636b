#include "model/weight_reader.h"

#include <ATen/Parallel.h>

#include <atomic>
#include <sstream>

#include "core/error.h"
#include "storage/mapped_file.h"

namespace attribution {
namespace {

std::string shape_text(at::IntArrayRef shape) {
  std::ostringstream out;
  out << shape;
  return out.str();
}

/// Whether no value has all bits of its exponent set, which NaN and the infinities have. Takes no memory: temporary
/// tensors of a checkpoint's sizes leave the heap in pieces that are never given back.
template <typename Bits>
bool all_finite(const at::Tensor& tensor, Bits exponent) {
  const auto* values = static_cast<const Bits*>(tensor.const_data_ptr());
  std::atomic<bool> finite{true};
  at::parallel_for(0, tensor.numel(), int64_t{1} << 16, [&](int64_t begin, int64_t end) {
    bool found = false;
    for (int64_t i = begin; i < end; ++i) found |= (values[i] & exponent) == exponent;
    if (found) finite = false;
  });
  return finite;
}

void check_finite(const at::Tensor& tensor, const std::string& name) {
  const at::Tensor t = tensor.contiguous();
  const bool finite = t.scalar_type() == at::kFloat    ? all_finite<uint32_t>(t, 0x7f800000)
                      : t.scalar_type() == at::kDouble ? all_finite<uint64_t>(t, 0x7ff0000000000000)
                                                       : all_finite<uint16_t>(t, 0x7f80);
  if (!finite) fail(Code::corrupt, "Weight \"", name, "\" holds NaN or infinite values");
}

}  // namespace

at::Tensor WeightReader::read(const WeightSource& source, const WeightShape& expected, at::ScalarType dtype) {
  auto& file = open_[source.file];
  if (!file) file = MappedFile::open(source.file);
  const at::Tensor tensor = read_tensor(file, source, dtype);
  file->require_unchanged();
  if (tensor.sizes() != at::IntArrayRef(expected.shape)) {
    fail(Code::mismatch, "Tensor \"", source.name, "\" has shape ", shape_text(tensor.sizes()), ", but weight \"",
         expected.name, "\" of this architecture has ", shape_text(expected.shape));
  }
  check_finite(tensor, source.name);
  return tensor;
}

std::vector<std::weak_ptr<const MappedFile>> WeightReader::files() const {
  std::vector<std::weak_ptr<const MappedFile>> files;
  for (const auto& [path, file] : open_) files.emplace_back(file);
  return files;
}

}  // namespace attribution
