// A C++ test is `TEST(states_a_fact) { CHECK(...); }` in any file of this folder.
#pragma once
#include <c10/util/Logging.h>

#include <exception>
#include <sstream>
#include <stdexcept>
#include <string>

namespace attribution::test {

struct Registration {
  Registration(const char* file, const char* name, void (*run)());
};

[[noreturn]] void fail(const char* file, int line, const std::string& what);

template <typename A, typename B>
void check_equal(const char* file, int line, const char* expression, const A& actual, const B& expected) {
  if (actual == expected) return;
  std::ostringstream text;
  text << expression << ": expected " << expected << " but received " << actual;
  fail(file, line, text.str());
}

inline void check_close(const char* file, int line, const char* expression, double actual, double expected,
                        double tolerance) {
  const double difference = actual > expected ? actual - expected : expected - actual;
  if (difference <= tolerance) return;  // false for NaN
  std::ostringstream text;
  text << expression << ": expected " << expected << " ± " << tolerance << " but received " << actual;
  fail(file, line, text.str());
}

/// The message of the exception that `body` throws; fails where it throws none.
template <typename Body>
std::string thrown(const char* file, int line, const char* expression, Body&& body) {
  try {
    body();
  } catch (const std::exception& error) {
    return error.what();
  }
  fail(file, line, std::string(expression).append(": expected an exception"));
}

}  // namespace attribution::test

#define TEST(name)                                                                          \
  static void name();                                                                       \
  static const attribution::test::Registration name##_registration(__FILE__, #name, &name); \
  static void name()
#undef CHECK  // libtorch's own, which ends the process
#define CHECK(condition) \
  if (!(condition)) attribution::test::fail(__FILE__, __LINE__, #condition)
#define CHECK_EQUAL(actual, expected) attribution::test::check_equal(__FILE__, __LINE__, #actual, actual, expected)
#define CHECK_CLOSE(actual, expected, tolerance) \
  attribution::test::check_close(__FILE__, __LINE__, #actual, actual, expected, tolerance)
#define THROWN(expression) attribution::test::thrown(__FILE__, __LINE__, #expression, [&] { (void)(expression); })
