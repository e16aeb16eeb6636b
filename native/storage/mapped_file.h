// A read-only memory map of a whole file. Tensors that view it keep it alive.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>

#include "storage/fault_guard.h"

namespace attribution {

class MappedFile {
 public:
  static std::shared_ptr<MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// The bytes [offset, offset + size); refuses a range beyond the end.
  const uint8_t* bytes(uint64_t offset, uint64_t size) const;
  /// Has the system read a range ahead; what lies beyond the end is left out.
  void will_need(uint64_t offset, uint64_t size) const;
  /// Gives the pages of a range that was copied back to the system.
  void release(uint64_t offset, uint64_t size) const;
  /// Refuses a file that was changed or cut short since it was mapped, or that could not be read. Called before and
  /// after a file's bytes are used. A file that was deleted, renamed or replaced by another is no trouble.
  void require_unchanged() const;

 private:
  MappedFile(std::string path, int descriptor, uint8_t* data, const struct stat& status);
  std::string path_;
  int descriptor_;
  uint8_t* data_;
  uint64_t size_;
  struct stat opened_;
  FaultGuard guard_;
};

}  // namespace attribution
