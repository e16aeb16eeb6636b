// What a running job hears from and tells its caller: cancellation between batches, and progress.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace attribution {

class Control {
 public:
  Control() = default;
  Control(std::function<bool()> cancelled, std::function<void(int64_t, int64_t, const std::string&)> report)
      : cancelled_(std::move(cancelled)), report_(std::move(report)) {}

  /// Throws code "aborted" once the caller has cancelled; to be called between batches.
  void check() const;
  void progress(int64_t done, int64_t total, const std::string& stage) const;

 private:
  std::function<bool()> cancelled_;
  std::function<void(int64_t, int64_t, const std::string&)> report_;
};

}  // namespace attribution
