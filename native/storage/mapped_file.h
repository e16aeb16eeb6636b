// A read-only memory map of a whole file. Tensors that view it keep it alive.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

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

 private:
  MappedFile(std::string path, uint8_t* data, uint64_t size);
  std::string path_;
  uint8_t* data_;
  uint64_t size_;
};

}  // namespace attribution
