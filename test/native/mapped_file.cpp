// File maps whose pages go: reads give zeros and the file is refused; other faults are other handlers'.
#include "storage/mapped_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "harness.h"

namespace {

using namespace attribution;

constexpr size_t size = 1 << 20;

/// A file of ones, removed at the end.
struct File {
  std::string path;
  int descriptor;

  File() {
    char name[] = "/tmp/attribution-map-XXXXXX";
    descriptor = ::mkstemp(name);
    path = name;
    const std::vector<char> ones(size, 1);
    CHECK(::write(descriptor, ones.data(), size) == static_cast<ssize_t>(size));
  }
  ~File() {
    ::close(descriptor);
    ::unlink(path.c_str());
  }
};

sigjmp_buf elsewhere;
void jump(int) { siglongjmp(elsewhere, 1); }

/// Before any file is mapped: what was there is called for faults that are not ours.
const bool handler_is_set = [] {
  struct sigaction action {};
  action.sa_handler = jump;
  return ::sigaction(SIGBUS, &action, nullptr) == 0;
}();

}  // namespace

TEST(a_file_cut_short_reads_as_zeros_and_is_refused) {
  const File file;
  const auto map = MappedFile::open(file.path);
  const uint8_t* bytes = map->bytes(0, size);
  map->require_unchanged();
  CHECK(bytes[size - 1] == 1);
  CHECK(::ftruncate(file.descriptor, 4096) == 0);
  CHECK(bytes[0] == 1);
  // From several threads at once, as a parallel loop reads.
  std::vector<std::thread> threads;
  std::vector<int> sums(4);
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 4096 + t; i < size; i += 4096) sums[t] += bytes[i];
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(sums == std::vector<int>(4));
  CHECK(THROWN(map->require_unchanged()).find("was cut from 1048576 to 4096 bytes") != std::string::npos);
  CHECK(::ftruncate(file.descriptor, size) == 0);
  CHECK(THROWN(map->require_unchanged()).find("could not be read") != std::string::npos);
}

TEST(a_file_that_is_renamed_or_linked_is_unchanged) {
  const File file;
  const auto map = MappedFile::open(file.path);
  const std::string other = file.path + "-other";
  CHECK(::link(file.path.c_str(), other.c_str()) == 0);
  map->require_unchanged();
  CHECK(::unlink(file.path.c_str()) == 0 && ::rename(other.c_str(), (other + "-2").c_str()) == 0);
  map->require_unchanged();
  CHECK(::unlink((other + "-2").c_str()) == 0);
}

TEST(a_fault_outside_our_files_goes_to_the_handler_before_ours) {
  CHECK(handler_is_set);
  const File ours, theirs;
  const auto map = MappedFile::open(ours.path);
  void* const other = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, theirs.descriptor, 0);
  CHECK(::ftruncate(theirs.descriptor, 0) == 0);
  bool reached = false;
  if (sigsetjmp(elsewhere, 1) == 0) {
    reached = static_cast<const volatile uint8_t*>(other)[0] == 0;
    CHECK(false);
  }
  CHECK(!reached);
  map->require_unchanged();
  ::munmap(other, size);
}
