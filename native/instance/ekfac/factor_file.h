// EK-FAC's factors in a file that is mapped: a module's pages are resident only while it is at work.
#pragma once
#include <ATen/ATen.h>

#include <string>
#include <vector>

namespace attribution {

struct NamedShape {
  std::string name;
  std::vector<int64_t> shape;
};

/// Zeroed tensors of these shapes, written as they change into a safetensors file at `path`; into one without a name,
/// in the folder for temporary files, where `path` is empty. Refuses a full disk.
std::vector<at::Tensor> mapped_tensors(const std::string& path, const std::vector<NamedShape>& shapes,
                                       at::ScalarType type);

/// Brings a mapped tensor's values to the disk.
void sync_pages(const at::Tensor& tensor);

/// Gives the pages of a tensor that views a mapped file back to the system; they are read again when they are used.
void release_pages(const at::Tensor& tensor);

}  // namespace attribution
