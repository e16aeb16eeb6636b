// LayerNorm and RMSNorm over the last axis.
#pragma once
#include <ATen/ATen.h>

#include "model/weights.h"

namespace attribution {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon);
at::Tensor apply(const Architecture& architecture, const Norm& norm, const at::Tensor& x);

}  // namespace attribution
