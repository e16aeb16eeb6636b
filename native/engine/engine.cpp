#include "engine/engine.h"

#include <ATen/Parallel.h>

#include <cstdlib>

namespace attribution {
namespace {

int default_threads() {
  const char* wanted = std::getenv("ATTRIBUTION_THREADS");
  const int number = wanted ? std::atoi(wanted) : 0;
  return number > 0 ? number : at::get_num_threads();
}

}  // namespace

Engine& Engine::instance() {
  static Engine* const engine = new Engine;  // never destroyed: its thread may outlive main's statics
  return *engine;
}

Engine::Engine() : threads_(default_threads()) {
  std::thread([this] { loop(); }).detach();
}

void Engine::submit(std::shared_ptr<Job> job) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return;
  queue_.push_back(std::move(job));
  changed_.notify_all();
}

void Engine::stop() {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  queue_.clear();
  if (running_) running_->cancelled = true;
  changed_.wait(lock, [this] { return !running_; });
}

void Engine::end(const std::shared_ptr<Job>& job) {
  std::unique_lock lock(mutex_);
  job->cancelled = true;
  std::erase(queue_, job);
  changed_.wait(lock, [&] { return running_ != job; });
}

void Engine::loop() {
  int threads = 0;
  for (;;) {
    std::shared_ptr<Job> job;
    {
      std::unique_lock lock(mutex_);
      running_.reset();
      changed_.notify_all();
      changed_.wait(lock, [this] { return !queue_.empty(); });
      job = queue_.front();
      queue_.pop_front();
      running_ = job;
    }
    if (threads != threads_) at::set_num_threads(threads = threads_);
    job->run(*job);
  }
}

}  // namespace attribution
