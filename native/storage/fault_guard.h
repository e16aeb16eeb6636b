// Survives reads of a file map whose pages are gone: the file was cut short, or its disk failed. The system then sends
// SIGBUS. A handler puts zero pages there and marks the range; faults elsewhere go to the handler that was there
// before.
#pragma once
#include <cstddef>

namespace attribution {

/// Guards the addresses [begin, begin + size) while it lives.
class FaultGuard {
 public:
  FaultGuard(const void* begin, size_t size);
  ~FaultGuard();
  FaultGuard(const FaultGuard&) = delete;
  FaultGuard& operator=(const FaultGuard&) = delete;

  /// Whether a read of the range has met a missing page: what was read there are zeros.
  bool faulted() const;

 private:
  struct Range;
  friend struct FaultHandler;
  Range* const range_;
};

}  // namespace attribution
