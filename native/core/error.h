// The core's one exception. The addon turns it into AttributionError with the same code and message.
#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace attribution {

enum class Code { invalid, unknown, missing, unsupported, mismatch, corrupt, aborted, memory, native };

class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& message) : std::runtime_error(message), code(code) {}
  const Code code;
};

template <typename... Parts>
[[noreturn]] void fail(Code code, const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw Error(code, message.str());
}

}  // namespace attribution
