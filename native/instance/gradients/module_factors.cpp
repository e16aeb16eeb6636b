#include "instance/gradients/module_factors.h"

namespace attribution {

std::vector<int64_t> token_offsets(const ModuleFactors& m, int64_t instances) {
  std::vector<int64_t> offsets(static_cast<size_t>(instances) + 1, 0);
  const at::Tensor owner = m.instance.to(at::kCPU);
  const auto* data = owner.const_data_ptr<int64_t>();
  for (int64_t t = 0; t < owner.size(0); ++t) offsets[static_cast<size_t>(data[t]) + 1] += 1;
  for (size_t i = 1; i < offsets.size(); ++i) offsets[i] += offsets[i - 1];
  return offsets;
}

}  // namespace attribution
