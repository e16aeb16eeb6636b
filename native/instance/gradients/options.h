// What every method over gradients is told.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "instance/gradients/quantity.h"

namespace attribution {

struct FeatureOptions {
  std::vector<std::string> modules;
  Reduction reduction = Reduction::sum;
  int64_t batch_tokens = 4096;
  int64_t memory_bytes = int64_t{1} << 30;
  Quantity of;  // what the queries' gradients are of
};

}  // namespace attribution
