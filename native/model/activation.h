// The activation of an MLP's neurons, or of a head's transform.
#pragma once
#include <ATen/ATen.h>

#include "model/architecture.h"

namespace attribution {

/// The activation, entry by entry.
at::Tensor activate(Activation activation, const at::Tensor& x);
inline at::Tensor activate(const Architecture& architecture, const at::Tensor& x) {
  return activate(architecture.activation, x);
}

}  // namespace attribution
