// What a write that failed is refused with.
#pragma once
#include <cerrno>
#include <cstring>
#include <string>

#include "core/error.h"

namespace attribution {

/// Names the file and says why, by errno.
[[noreturn]] inline void fail_writing(const std::string& file) {
  const int reason = errno;
  if (reason == ENOSPC || reason == EDQUOT)
    fail(Code::memory, "The disk is full while writing \"", file, "\": make room, or choose another one");
  fail(reason == EIO ? Code::native : Code::invalid, "Cannot write \"", file, "\": ", std::strerror(reason));
}

}  // namespace attribution
