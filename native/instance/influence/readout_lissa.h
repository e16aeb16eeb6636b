// LiSSA over a ReadoutCurvature with its iterate in the span of what it is made of, so that a recursion touches no
// vector of all parameters: h = c v + Σ_i (C_i a_iᵀ + g_i E_iᵀ) per module, i the rows drawn so far, a_i and g_i fixed.
#pragma once
#include "instance/curvature/readout_curvature.h"
#include "instance/influence/solvers.h"

namespace attribution {

/// Whether the coefficients take less than vectors of all parameters would.
bool spans_cheaply(const ReadoutCurvature& curvature, const std::vector<std::vector<int64_t>>& batches,
                   int64_t parameters);

/// One series over the batches: h after the last, and the relative change that it made.
Series readout_series(const ReadoutCurvature& curvature, const std::vector<std::vector<int64_t>>& batches,
                      const at::Tensor& vectors, const InfluenceOptions& options,
                      const std::function<void(int64_t)>& progress);

}  // namespace attribution
