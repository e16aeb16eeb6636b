#include "instance/curvature/cached_rows.h"

namespace attribution {

at::Tensor CachedRows::rows_of(const std::vector<int64_t>& instances, at::Device device) const {
  std::vector<int64_t> rows;
  for (const int64_t i : instances) {
    for (int64_t k = 0; k < count(i); ++k) rows.push_back(offsets[static_cast<size_t>(i)] + k);
  }
  return at::tensor(rows, at::kLong).to(device);
}

at::Tensor CachedRows::owners(at::Device device) const {
  at::Tensor owners = at::empty({total()}, at::kLong);
  for (int64_t i = 0; i < instances(); ++i) owners.narrow(0, offsets[static_cast<size_t>(i)], count(i)).fill_(i);
  return owners.to(device);
}

}  // namespace attribution
