// Runs the C++ tests: all, or those whose "file: name" holds one of the arguments.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "harness.h"

namespace attribution::test {
namespace {

struct Test {
  std::string name;
  void (*run)();
};

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool wanted(const Test& test, const std::vector<std::string>& words) {
  for (const auto& word : words) {
    if (test.name.find(word) != std::string::npos) return true;
  }
  return words.empty();
}

}  // namespace

Registration::Registration(const char* file, const char* name, void (*run)()) {
  tests().push_back({std::string(base_name(file)) + ": " + name, run});
}

void fail(const char* file, int line, const std::string& what) {
  throw std::runtime_error(std::string(base_name(file)) + ":" + std::to_string(line) + "  " + what);
}

}  // namespace attribution::test

int main(int count, char** arguments) {
  using namespace attribution::test;
  const std::vector<std::string> words(arguments + 1, arguments + count);
  int passed = 0, failed = 0;
  for (const Test& test : tests()) {
    if (!wanted(test, words)) continue;
    try {
      test.run();
      ++passed;
    } catch (const std::exception& error) {
      ++failed;
      std::printf("FAILED  %s\n        %s\n", test.name.c_str(), error.what());
    }
  }
  std::printf("C++ tests: %d passed, %d failed\n", passed, failed);
  return failed > 0 || passed == 0 ? 1 : 0;
}
