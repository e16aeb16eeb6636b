// Any exception as a code and a sentence.
#pragma once
#include <exception>
#include <string>

#include "core/error.h"

namespace attribution {

struct Failure {
  Code code;
  std::string message;
};

/// The exception being handled; to be called in a catch block.
Failure current_failure();
const char* code_name(Code code);

}  // namespace attribution
