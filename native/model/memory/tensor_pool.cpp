#include "model/memory/tensor_pool.h"

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <bit>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>

namespace attribution {
namespace {

/// Below, tensors stay with libtorch's allocator.
constexpr std::size_t smallest = std::size_t{1} << 16;
/// Stays for the next job: fresh pages cost a short one a tenth of its time.
constexpr std::size_t retained = std::size_t{1} << 27;
/// From here on huge pages pay.
constexpr std::size_t huge = std::size_t{1} << 22;

/// Eight sizes per power of two: similar tensors share their memory, and at most an eighth is lost.
std::size_t size_class(std::size_t bytes) {
  const std::size_t step = std::bit_floor(bytes) / 8;
  return (bytes + step - 1) / step * step;
}

void free_pooled(void* data);

class Pool final : public c10::Allocator {
 public:
  static Pool& instance() {
    static Pool* const pool = [] {
      auto* made = new Pool;  // never destroyed: tensors may be freed while the process ends
      c10::SetCPUAllocator(made, 1);
      return made;
    }();
    return *pool;
  }

  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes >= smallest) {
      const std::lock_guard lock(mutex_);
      void* const data = limit_ > 0 ? take(size_class(bytes)) : nullptr;
      if (data) return {data, data, &free_pooled, c10::Device(c10::kCPU)};
    }
    return fallback_->allocate(bytes);
  }

  c10::DeleterFnPtr raw_deleter() const override { return &free_pooled; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }

  void release(void* data) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = used_.find(data);
      if (found != used_.end()) {
        keep({data, found->second});
        used_.erase(found);
        shrink(allowed());
        return;
      }
    }
    fallback_->raw_deallocate(data);
  }

  std::size_t limit(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const std::size_t before = limit_;
    limit_ = bytes;
    shrink(allowed());
    return before;
  }

  PoolUse use() {
    const std::lock_guard lock(mutex_);
    return use_;
  }

 private:
  struct Block {
    void* data;
    std::size_t size;
  };
  using BySize = std::map<std::size_t, std::deque<std::list<Block>::iterator>>;

  std::size_t allowed() const { return limit_ > 0 ? limit_ : retained; }

  /// A kept block of the size, while half of the budget is free also one that is larger by half; else a new one.
  /// nullptr where the system has no more mappings.
  void* take(std::size_t size) {
    const bool roomy = use_.used + use_.kept <= limit_ / 2;
    const auto found = by_size_.lower_bound(size);
    if (found != by_size_.end() && found->first <= (roomy ? size + size / 2 : size)) return reuse(found);
    shrink(limit_ > size ? limit_ - size : 0);
    void* const data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return nullptr;
    if (size >= huge) madvise(data, size, MADV_HUGEPAGE);
    return used(data, size);
  }

  void* reuse(BySize::iterator found) {
    const Block block = *found->second.back();
    kept_.erase(found->second.back());
    found->second.pop_back();
    if (found->second.empty()) by_size_.erase(found);
    use_.kept -= block.size;
    return used(block.data, block.size);
  }

  void* used(void* data, std::size_t size) {
    used_.emplace(data, size);
    use_.used += size;
    return data;
  }

  void keep(const Block& block) {
    use_.used -= block.size;
    use_.kept += block.size;
    by_size_[block.size].push_back(kept_.insert(kept_.end(), block));
  }

  /// Gives back what was freed longest ago, until all fits.
  void shrink(std::size_t bytes) {
    while (!kept_.empty() && use_.used + use_.kept > bytes) {
      const Block oldest = kept_.front();
      munmap(oldest.data, oldest.size);
      use_.kept -= oldest.size;
      const auto same = by_size_.find(oldest.size);
      same->second.pop_front();
      if (same->second.empty()) by_size_.erase(same);
      kept_.pop_front();
    }
  }

  c10::Allocator* const fallback_ = c10::GetDefaultCPUAllocator();
  std::mutex mutex_;
  std::unordered_map<void*, std::size_t> used_;
  std::list<Block> kept_;  // freed longest ago first
  BySize by_size_;         // of kept_, in its order; no list is empty
  PoolUse use_{0, 0};
  std::size_t limit_ = 0;
};

void free_pooled(void* data) { Pool::instance().release(data); }

}  // namespace

TensorPool::TensorPool(std::size_t bytes) : before_(Pool::instance().limit(bytes)) {}
TensorPool::~TensorPool() { Pool::instance().limit(before_); }

PoolUse pool_use() { return Pool::instance().use(); }

}  // namespace attribution
