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

namespace {

bool same(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

/// Whether the file's contents were written to. The time of the last change of any kind counts too, since a writer can
/// set the other one back; but a new link, owner, mode or name sets it as well.
bool written(const struct stat& before, const struct stat& now, const std::string& path) {
  if (before.st_size != now.st_size || !same(before.st_mtim, now.st_mtim)) return true;
  if (same(before.st_ctim, now.st_ctim)) return false;
  if (before.st_nlink != now.st_nlink || before.st_mode != now.st_mode || before.st_uid != now.st_uid ||
      before.st_gid != now.st_gid)
    return false;
  struct stat named {};
  return ::stat(path.c_str(), &named) == 0 && named.st_ino == now.st_ino && named.st_dev == now.st_dev;
}

}  // namespace

std::shared_ptr<MappedFile> MappedFile::open(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe would wait for its writer
  if (descriptor < 0) fail(Code::missing, "Cannot open \"", path, "\": ", std::strerror(errno));
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0) {
    ::close(descriptor);
    fail(Code::corrupt, "\"", path, "\" is empty, no regular file, or cannot be read");
  }
  void* data = ::mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
  if (data == MAP_FAILED) {
    const int reason = errno;
    ::close(descriptor);
    fail(Code::memory, "Cannot map \"", path, "\": ", std::strerror(reason));
  }
  return std::shared_ptr<MappedFile>(new MappedFile(path, descriptor, static_cast<uint8_t*>(data), status));
}

MappedFile::MappedFile(std::string path, int descriptor, uint8_t* data, const struct stat& status)
    : path_(std::move(path)),
      descriptor_(descriptor),
      data_(data),
      size_(static_cast<uint64_t>(status.st_size)),
      opened_(status),
      guard_(data, size_) {}

MappedFile::~MappedFile() {
  ::munmap(data_, size_);
  ::close(descriptor_);
}

void MappedFile::require_unchanged() const {
  struct stat now {};
  if (::fstat(descriptor_, &now) != 0) fail(Code::native, "Cannot look at \"", path_, "\": ", std::strerror(errno));
  if (now.st_size < opened_.st_size)
    fail(Code::mismatch, "\"", path_, "\" was cut from ", size_, " to ", now.st_size,
         " bytes while it was in use: load it again once it is whole. To replace a file that is in use, write another "
         "one and rename it");
  if (guard_.faulted())
    fail(Code::corrupt, "\"", path_, "\" could not be read while it was in use: check its disk, and load it again");
  if (written(opened_, now, path_))
    fail(Code::mismatch, "\"", path_, "\" was changed while it was in use (", size_, " bytes then, ", now.st_size,
         " now): load it again. To replace a file that is in use, write another one and rename it");
}

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
