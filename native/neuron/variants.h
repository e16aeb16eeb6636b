// Slicing for runs of variants over the prefix cache.
#pragma once
#include "model/prefix/prefix_cache.h"

namespace attribution {

/// The cache of the given rows only (the same cache where those are all, in order).
PrefixCache rows_of(const PrefixCache& cache, const at::Tensor& rows);

}  // namespace attribution
