// Products of the training loss's Hessian with vectors of the selected parameters. The graph of the first gradient is made once per
// batch and shared by all vectors.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "instance/modules.h"
#include "model/batch.h"
#include "model/loss.h"

namespace attribution {

class Hessian {
 public:
  Hessian(const Model& model, const ModuleSelection& modules, Reduction reduction);

  /// H v of the batch's summed loss for each vector [vector, parameter] (divide by the number of instances for the mean).
  at::Tensor products(const Batch& batch, const at::Tensor& vectors) const;

 private:
  Model model_;  // shares all weights but the selected ones, which are leaves
  std::vector<at::Tensor> parameters_;
  std::vector<bool> transposed_;
  Reduction reduction_;
};

}  // namespace attribution
