// One module's EK-FAC factors.
#pragma once
#include <ATen/ATen.h>

namespace attribution {

/// Of the model's type, bfloat16 as float.
struct EkfacModule {
  at::Tensor input_basis;   // Q_A [input (+ 1 with a bias), the same]
  at::Tensor output_basis;  // Q_S [output, output]
  at::Tensor eigenvalues;   // Λ [output, input (+ 1)]
  bool bias = false;
  bool returns_pages = false;  // its tensors view a file and are given back after each use
};

/// After a use of a module's factors.
void end_use(const EkfacModule& module);

}  // namespace attribution
