// The one rule for instances whose values are not finite: `evaluate` gives NaN for them, everything else refuses them
// by name. Their neighbours in a batch are as they are alone.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "model/batch.h"

namespace attribution {

/// What becomes of instances whose values are not finite: refused by name, or returned as they are.
enum class NotFinite { refuse, keep };

/// Refuses instances by their indices in the data set.
[[noreturn]] void fail_not_finite(const std::vector<int64_t>& instances);

/// Refuses the instances of the batch that have values [n, ..] which are not finite; `owner` [n] is each value's
/// instance in the batch.
void require_finite(const Batch& batch, const at::Tensor& values, const at::Tensor& owner);

}  // namespace attribution
