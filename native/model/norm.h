// LayerNorm, and RMSNorm (which has no bias), over the last axis.
#pragma once
#include <ATen/ATen.h>

#include "model/hooks.h"

namespace attribution {

/// Without a weight where that is undefined.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon);
at::Tensor apply(const Architecture& architecture, const Norm& norm, const at::Tensor& x);
/// What the norm's weight multiplies.
at::Tensor normalised(const Architecture& architecture, const Norm& norm, const at::Tensor& x);
/// Runs a norm through the hooks.
at::Tensor run_norm(const Model& model, ModuleId id, const at::Tensor& x, const Hooks& hooks);

}  // namespace attribution
