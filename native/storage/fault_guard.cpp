#include "storage/fault_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

namespace attribution {

/// An entry of the list that the signal handler walks without a lock. Entries are used again and never freed.
struct FaultGuard::Range {
  std::atomic<uintptr_t> begin{0};  // 0: free
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> faulted{false};
  Range* next = nullptr;
};

/// What the handler reads: only atomics, and values that are set before it is installed.
struct FaultHandler {
  static inline std::atomic<FaultGuard::Range*> ranges{nullptr};
  static inline struct sigaction previous {};
  static inline uintptr_t page = 4096;
  static inline std::mutex adding;  // not taken by the handler

  /// The guarded range with this address, or none.
  static FaultGuard::Range* range_at(uintptr_t address) {
    for (auto* range = ranges.load(std::memory_order_acquire); range != nullptr; range = range->next) {
      const uintptr_t begin = range->begin.load(std::memory_order_acquire);
      if (begin != 0 && address >= begin && address < range->end.load(std::memory_order_relaxed)) return range;
    }
    return nullptr;
  }

  /// Puts zero pages from the fault to the range's end: a file that was cut short has nothing after it either.
  static bool mend(FaultGuard::Range& range, uintptr_t address) {
    const uintptr_t first = address / page * page, end = range.end.load(std::memory_order_relaxed);
    void* const zeros = ::mmap(reinterpret_cast<void*>(first), end - first, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (zeros == MAP_FAILED) return false;
    range.faulted.store(true, std::memory_order_release);
    return true;
  }

  static void pass_on(int signal, siginfo_t* info, void* context) {
    if ((previous.sa_flags & SA_SIGINFO) != 0) return previous.sa_sigaction(signal, info, context);
    if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) return previous.sa_handler(signal);
    const bool was_sent = info->si_code <= 0;  // by kill(), not by a fault
    if (was_sent && previous.sa_handler == SIG_IGN) return;
    ::signal(signal, SIG_DFL);  // a fault happens again on return, and ends the process as it would without us
    if (was_sent) ::raise(signal);
  }

  static void handle(int signal, siginfo_t* info, void* context) {
    const int error = errno;
    const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    FaultGuard::Range* const range = info->si_code > 0 ? range_at(address) : nullptr;
    if (range == nullptr || !mend(*range, address)) pass_on(signal, info, context);
    errno = error;
  }

  static bool install() {
    page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    ::sigaction(SIGBUS, nullptr, &previous);
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return ::sigaction(SIGBUS, &action, nullptr) == 0;
  }

  static FaultGuard::Range* add(uintptr_t begin, uintptr_t end) {
    const std::lock_guard lock(adding);
    static const bool installed = install();
    static_cast<void>(installed);
    auto* range = ranges.load();
    while (range != nullptr && range->begin.load() != 0) range = range->next;
    if (range == nullptr) {
      range = new FaultGuard::Range;
      range->next = ranges.load();
      ranges.store(range, std::memory_order_release);
    }
    range->faulted.store(false);
    range->end.store(end);
    range->begin.store(begin, std::memory_order_release);
    return range;
  }
};

FaultGuard::FaultGuard(const void* begin, size_t size)
    : range_(FaultHandler::add(reinterpret_cast<uintptr_t>(begin), reinterpret_cast<uintptr_t>(begin) + size)) {}

FaultGuard::~FaultGuard() { range_->begin.store(0, std::memory_order_release); }

bool FaultGuard::faulted() const { return range_->faulted.load(std::memory_order_acquire); }

}  // namespace attribution
