#include "instance/ekfac/factor_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <sstream>

#include "core/write_failure.h"

namespace attribution {
namespace {

constexpr uint64_t alignment = 64;

struct Mapping {
  uint8_t* data;
  uint64_t size;

  Mapping(uint8_t* at, uint64_t bytes) : data(at), size(bytes) {}
  ~Mapping() { ::munmap(data, size); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
};

uint64_t bytes_of(const NamedShape& s, at::ScalarType type) {
  uint64_t bytes = at::elementSize(type);
  for (const int64_t size : s.shape) bytes *= static_cast<uint64_t>(size);
  return bytes;
}

/// Length, JSON, and spaces up to the alignment.
std::string header_of(const std::vector<NamedShape>& shapes, at::ScalarType type) {
  std::ostringstream json;
  uint64_t offset = 0;
  for (const NamedShape& s : shapes) {
    json << (offset == 0 ? "{" : ",") << '"' << s.name << R"(":{"dtype":")" << (type == at::kDouble ? "F64" : "F32")
         << R"(","shape":[)";
    for (size_t i = 0; i < s.shape.size(); ++i) json << (i == 0 ? "" : ",") << s.shape[i];
    json << R"(],"data_offsets":[)" << offset << ',' << offset + bytes_of(s, type) << "]}";
    offset += bytes_of(s, type);
  }
  json << '}';
  std::string text = json.str();
  text.resize((text.size() + 8 + alignment - 1) / alignment * alignment - 8, ' ');
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text;
}

/// A descriptor that closes itself.
struct File {
  int descriptor;
  std::string name;

  explicit File(const std::string& path) : name(path) {
    if (path.empty()) {
      name = (std::filesystem::temp_directory_path() / "attribution-factors-XXXXXX").string();
      descriptor = ::mkostemp(name.data(), O_CLOEXEC);
      if (descriptor >= 0) ::unlink(name.c_str());
    } else {
      descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    }
    if (descriptor < 0) fail_writing(name);
  }
  ~File() {
    if (descriptor >= 0) ::close(descriptor);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

/// The pages that lie within a tensor whole.
void advise(const at::Tensor& tensor, int advice) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(tensor.const_data_ptr());
  const uintptr_t first = (begin + page - 1) / page * page, last = (begin + tensor.nbytes()) / page * page;
  if (last > first) ::madvise(reinterpret_cast<void*>(first), last - first, advice);
}

}  // namespace

std::vector<at::Tensor> mapped_tensors(const std::string& path, const std::vector<NamedShape>& shapes,
                                       at::ScalarType type) {
  const std::string header = header_of(shapes, type);
  uint64_t size = header.size();
  for (const NamedShape& s : shapes) size += bytes_of(s, type);
  const File file(path);
  // Reserved whole: a disk that is full later would end the process by a signal.
  errno = ::posix_fallocate(file.descriptor, 0, static_cast<off_t>(size));
  if (errno != 0) fail_writing(file.name);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.descriptor, 0);
  if (data == MAP_FAILED) fail(Code::memory, "Cannot map \"", file.name, "\": ", std::strerror(errno));
  const auto mapping = std::make_shared<Mapping>(static_cast<uint8_t*>(data), size);
  std::memcpy(mapping->data, header.data(), header.size());
  std::vector<at::Tensor> tensors;
  uint8_t* next = mapping->data + header.size();
  for (const NamedShape& s : shapes) {
    tensors.push_back(at::from_blob(
        next, s.shape, [mapping](void*) {}, at::TensorOptions().dtype(type)));
    next += bytes_of(s, type);
  }
  return tensors;
}

void sync_pages(const at::Tensor& tensor) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(tensor.const_data_ptr());
  const uintptr_t first = begin / page * page;
  if (::msync(reinterpret_cast<void*>(first), begin + tensor.nbytes() - first, MS_SYNC) != 0)
    fail_writing("the file of EK-FAC's factors");
}

void release_pages(const at::Tensor& tensor) { advise(tensor, MADV_DONTNEED); }

}  // namespace attribution
