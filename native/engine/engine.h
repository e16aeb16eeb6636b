// The one native thread and its queue. libtorch's intra-operation pool belongs to the thread that calls it, so one
// thread keeps one pool, and JavaScript's own thread pool stays free for files and timers.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace attribution {

struct Job {
  std::atomic<bool> cancelled{false};
  std::function<void(Job&)> run;  // must not throw
};

class Engine {
 public:
  static Engine& instance();

  void submit(std::shared_ptr<Job> job);
  /// Cancels a job and waits until it has ended, if it runs; a finished one is left as it is.
  void end(const std::shared_ptr<Job>& job);
  /// Before the process ends: cancels all jobs, waits for the running one and takes no more. exit() destroys libtorch's
  /// statics, which no job may use then.
  void stop();
  void set_threads(int threads) { threads_ = threads; }
  int threads() const { return threads_; }

 private:
  Engine();
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> queue_;
  std::shared_ptr<Job> running_;
  bool stopped_ = false;
  std::atomic<int> threads_;
};

}  // namespace attribution
