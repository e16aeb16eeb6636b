#include "engine/failure.h"

#include <c10/util/Exception.h>

#include <new>

namespace attribution {

Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.code, error.what()};
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    const bool memory =
        text.find("allocate memory") != std::string::npos || text.find("out of memory") != std::string::npos;
    return {memory ? Code::memory : Code::native,
            memory ? "Out of memory: lower \"batchTokens\" or \"memory\" (" + text + ")" : text};
  } catch (const std::bad_alloc&) {
    return {Code::memory, "Out of memory: lower \"batchTokens\" or \"memory\""};
  } catch (const std::exception& error) {
    return {Code::native, error.what()};
  } catch (...) {
    return {Code::native, "An unknown native exception"};
  }
}

const char* code_name(Code code) {
  switch (code) {
    case Code::invalid:
      return "invalid";
    case Code::unknown:
      return "unknown";
    case Code::missing:
      return "missing";
    case Code::unsupported:
      return "unsupported";
    case Code::mismatch:
      return "mismatch";
    case Code::corrupt:
      return "corrupt";
    case Code::aborted:
      return "aborted";
    case Code::memory:
      return "memory";
    case Code::native:
      return "native";
  }
  return "native";
}

}  // namespace attribution
