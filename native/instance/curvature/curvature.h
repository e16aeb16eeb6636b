// What the solvers of influence functions need of the training loss: products with its Hessian, and its instances'
// gradients. Vectors are of the selected parameters, module by module as dense_gradients has them.
#pragma once
#include <ATen/ATen.h>

#include <memory>
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

/// Over cached states where the selection allows it (see head_curvature.h, readout_curvature.h) and they take at most
/// half of the memory; else over the network. `model` and `train` must outlive it.
std::unique_ptr<Curvature> curvature_of(const Model& model, const Instances& train, const ModuleSelection& modules,
                                        const CurvatureOptions& options, const Control& control);

/// Any selection: each product is a forward, its backward, and a backward through both per vector. The graph of the
/// first gradient is made once per batch and shared by all vectors.
std::unique_ptr<Curvature> network_curvature(const Model& model, const Instances& train, const ModuleSelection& modules,
                                             const CurvatureOptions& options);

/// Inner products of instances' gradients with vectors over the network, one pass: [vector, instance].
at::Tensor gradient_products(const Model& model, const Instances& instances, const ModuleSelection& modules,
                             const CurvatureOptions& options, const at::Tensor& vectors, const Control& control);

/// Cached rows of states, those of an instance one after the other, instances in the order of the data set.
struct CachedRows {
  std::vector<int64_t> offsets;  // [instance + 1]

  int64_t instances() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t total() const { return offsets.back(); }
  int64_t count(int64_t instance) const {
    return offsets[static_cast<size_t>(instance) + 1] - offsets[static_cast<size_t>(instance)];
  }
  /// Rows of the instances, one after the other.
  at::Tensor rows_of(const std::vector<int64_t>& instances, at::Device device) const;
  /// The instance of each row, [row].
  at::Tensor owners(at::Device device) const;
};

}  // namespace attribution
