#include "storage/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace attribution {

std::shared_ptr<MappedFile> MappedFile::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(Code::missing, "Cannot open \"", path, "\": ", std::strerror(errno));
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || status.st_size <= 0) {
    ::close(descriptor);
    fail(Code::corrupt, "\"", path, "\" is empty or cannot be read");
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
  ::close(descriptor);
  if (data == MAP_FAILED) fail(Code::memory, "Cannot map \"", path, "\": ", std::strerror(errno));
  return std::shared_ptr<MappedFile>(new MappedFile(path, static_cast<uint8_t*>(data), size));
}

MappedFile::MappedFile(std::string path, uint8_t* data, uint64_t size)
    : path_(std::move(path)), data_(data), size_(size) {}

MappedFile::~MappedFile() { ::munmap(data_, size_); }

const uint8_t* MappedFile::bytes(uint64_t offset, uint64_t size) const {
  if (offset > size_ || size > size_ - offset) {
    fail(Code::corrupt, "\"", path_, "\" holds ", size_, " bytes, but a tensor lies at ", offset, "–", offset + size);
  }
  return data_ + offset;
}

void MappedFile::will_need(uint64_t offset, uint64_t size) const {
  if (offset >= size_) return;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t first = offset / page * page;
  ::madvise(data_ + first, std::min(offset + size, size_) - first, MADV_WILLNEED);
}

void MappedFile::release(uint64_t offset, uint64_t size) const {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t first = (offset + page - 1) / page * page;
  const uint64_t last = (offset + size) / page * page;
  if (last > first) ::madvise(data_ + first, last - first, MADV_DONTNEED);
}

}  // namespace attribution
