// The last block's MLP, with or without the head, of a model that reads one position: everything below is constant, and
// of every row only the readout position counts. One forward keeps the residual there; products with the Hessian run
// those rows alone.
//
// A row's gradient is g aᵀ per module (a its input, g the gradient at its output), so the Hessian's product with V is,
// per row, (R g) aᵀ + g (R a)ᵀ, where R g and R a follow from V a and Vᵀ g alone (Pearlmutter 1994).
#pragma once
#include "instance/curvature/cached_rows.h"
#include "instance/curvature/curvature.h"
#include "instance/gradients/factors.h"

namespace attribution {

class ReadoutCurvature : public Curvature {
 public:
  static bool applies(const Model& model, const Instances& train, const ModuleSelection& modules,
                      const CurvatureOptions& options);
  ReadoutCurvature(const Model& model, const Instances& train, const ModuleSelection& modules,
                   const CurvatureOptions& options, const Control& control);

  at::Tensor products(const std::vector<int64_t>& instances, const at::Tensor& vectors) const override;
  at::Tensor mean_products(const at::Tensor& vectors, const Control& control) const override;
  at::Tensor gradient_products(const at::Tensor& vectors, const Control& control) const override;

  /// Per module what V and its transpose make of the rows, V a + its bias [vector, row, output] and Vᵀ g [vector, row,
  /// input].
  struct Images {
    std::vector<at::Tensor> outputs, inputs;  // `inputs` undefined where a module's inputs are constant
  };
  /// R g [vector, row, output] and R a [vector, row, input] of each module, under the same names.
  Images tangents(const std::vector<int64_t>& instances, const Images& images) const;
  Images images_of(const at::Tensor& rows, const at::Tensor& vectors) const;

  const Factors& factors() const { return factors_; }
  const CachedRows& cached() const { return cached_; }
  bool is_constant(size_t module) const { return is_constant_[module]; }

 private:
  /// Residuals of some rows, `copies` times after each other, as a batch of instances.
  struct Rows {
    at::Tensor x, mid;  // [row, hidden]
    Batch batch;
  };
  Rows rows_of(const std::vector<int64_t>& instances, int64_t copies) const;
  at::Tensor losses(const Rows& rows, const Hooks& hooks) const;
  void read_states(const Instances& train, int64_t batch_tokens, const Control& control);
  void read_factors();

  const Model& model_;
  const ModuleSelection& modules_;
  Reduction reduction_;
  CachedRows cached_;
  at::Tensor x_, mid_;             // [row, hidden] the last block's input, and the residual after its attention
  at::Tensor labels_;              // [instance]
  Factors factors_;                // of all rows; a row's `instance` is its place in the training set
  std::vector<bool> is_constant_;  // [module] its inputs depend on no selected module
};

}  // namespace attribution
