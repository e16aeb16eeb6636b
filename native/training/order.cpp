#include "training/order.h"

#include <algorithm>
#include <numeric>

namespace attribution {

std::vector<std::vector<int64_t>> epoch_batches(const Instances& d, Order order, int64_t batch_size,
                                                std::mt19937_64& engine) {
  std::vector<int64_t> all(static_cast<size_t>(d.size()));
  std::iota(all.begin(), all.end(), 0);
  if (order != Order::given) shuffle(all, engine);
  if (order == Order::length_sorted) {
    std::stable_sort(all.begin(), all.end(), [&](int64_t a, int64_t b) { return d.longest_row(a) < d.longest_row(b); });
  }
  std::vector<std::vector<int64_t>> batches;
  for (size_t i = 0; i < all.size(); i += static_cast<size_t>(batch_size)) {
    batches.emplace_back(all.begin() + static_cast<int64_t>(i),
                         all.begin() + static_cast<int64_t>(std::min(all.size(), i + static_cast<size_t>(batch_size))));
  }
  if (order == Order::length_sorted) shuffle(batches, engine);
  return batches;
}

}  // namespace attribution
