// Inner products, or cosines, of the loss gradients of queries and training instances (TracIn at one checkpoint, Pruthi
// et al. 2020; cosine: Hanawa et al. 2021). Exact: no projection.
#pragma once
#include <ATen/ATen.h>

#include "core/control.h"
#include "instance/gradients/quantity.h"

namespace attribution {

struct FeatureOptions {
  std::vector<std::string> modules;
  Reduction reduction = Reduction::sum;
  int64_t batch_tokens = 4096;
  int64_t memory_bytes = int64_t{1} << 30;
  Quantity of;  // what the queries' gradients are of
};

/// [query, train] float. The cosine with a zero gradient is 0.
at::Tensor gradient_similarity(const Model& model, const Instances& train, const Instances& queries,
                               const FeatureOptions& options, bool cosine, const Control& control);

}  // namespace attribution
