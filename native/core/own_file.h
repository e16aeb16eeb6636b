// Files that a call writes itself.
#pragma once
#include <string>

#include "core/write_failure.h"

namespace attribution {

/// The descriptor of a regular file, opened with open(2)'s flags. A link of either kind, a pipe or a device is refused:
/// what lies behind it belongs to someone else.
int open_own_file(const std::string& path, int flags);

}  // namespace attribution
