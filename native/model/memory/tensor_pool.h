// Memory for tensors while a job has a budget. The system's allocator leaves freed tensors of changing sizes in pieces
// that it can neither use again nor give back, half of the process in the end, so that a budget counted in tensors
// would not hold. Here every large tensor is a mapping of its own: it serves again for a tensor of its size while the
// budget has room, and is unmapped when another one needs the room.
#pragma once
#include <cstddef>

namespace attribution {

/// While it lives, tensors and what is kept of freed ones take at most `bytes` together, as long as the tensors alone
/// do. One at a time counts, the one made last; tensors may outlive it, and 128 MB of freed ones stay for the next.
class TensorPool {
 public:
  explicit TensorPool(std::size_t bytes);
  ~TensorPool();
  TensorPool(const TensorPool&) = delete;
  TensorPool& operator=(const TensorPool&) = delete;

 private:
  std::size_t before_;
};

/// Bytes of the pool's tensors in use, and of the freed ones that it keeps.
struct PoolUse {
  std::size_t used, kept;
};
PoolUse pool_use();

}  // namespace attribution
