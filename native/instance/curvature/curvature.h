// What the solvers of influence functions need of the training loss: products with its Hessian, and its instances'
// gradients. Vectors are of the selected parameters, module by module as dense_gradients has them.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "core/control.h"
#include "instance/gradients/modules.h"
#include "model/batch.h"
#include "model/loss.h"

namespace attribution {

class Curvature {
 public:
  virtual ~Curvature() = default;
  /// H v of the chosen instances' summed loss for each vector [vector, parameter].
  virtual at::Tensor products(const std::vector<int64_t>& instances, const at::Tensor& vectors) const = 0;
  /// The same of the mean loss of the whole training set.
  virtual at::Tensor mean_products(const at::Tensor& vectors, const Control& control) const = 0;
  /// Inner products of every training instance's gradient with the vectors: [vector, instance].
  virtual at::Tensor gradient_products(const at::Tensor& vectors, const Control& control) const = 0;
};

struct CurvatureOptions {
  Reduction reduction = Reduction::sum;
  int64_t batch_tokens = 4096;
  int64_t memory_bytes = int64_t{1} << 30;
  bool full = false;  // the network for every product, also where states can be cached
};

}  // namespace attribution
