// The architecture's norm over the last axis: LayerNorm or RMSNorm, scaled by w, by 1 + w, or not at all.
#pragma once
#include <ATen/ATen.h>

#include "model/hooks.h"

namespace attribution {

at::Tensor apply(const Architecture& architecture, const Norm& norm, const at::Tensor& x);
/// The same of the module: the bias of a tied output, entry by entry as a norm's, is added.
at::Tensor apply(const Model& model, ModuleId id, const at::Tensor& x);
/// What the module's weight multiplies: the normalised values, or 1 for each logit.
at::Tensor normalised(const Architecture& architecture, ModuleId id, const at::Tensor& x);
/// Runs a norm through the hooks.
at::Tensor run_norm(const Model& model, ModuleId id, const at::Tensor& x, const Hooks& hooks);

}  // namespace attribution
