// Random projections that depend on (seed, module, side) only: the same on every device, batch size and order.
#pragma once
#include <ATen/ATen.h>

#include <cstdint>
#include <string>

namespace attribution {

enum class ProjectionKind { gaussian, rademacher };

/// [rank, width] with entries of mean 0 and variance 1 / rank, so that ⟨P x, P y⟩ has mean ⟨x, y⟩.
at::Tensor projection_matrix(ProjectionKind kind, int64_t rank, int64_t width, uint64_t seed, const std::string& name);

}  // namespace attribution
