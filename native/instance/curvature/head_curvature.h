// The head alone: a softmax over a linear map of fixed states s, so that a row's Hessian is (diag p − p pᵀ) ⊗ s sᵀ. One
// forward keeps the states; after it no product needs the network.
#pragma once
#include "instance/curvature/cached_rows.h"
#include "instance/curvature/curvature.h"

namespace attribution {

class HeadCurvature : public Curvature {
 public:
  static bool applies(const Model& model, const Instances& train, const ModuleSelection& modules,
                      const CurvatureOptions& options);
  HeadCurvature(const Model& model, const Instances& train, const CurvatureOptions& options, const Control& control);

  at::Tensor products(const std::vector<int64_t>& instances, const at::Tensor& vectors) const override;
  at::Tensor mean_products(const at::Tensor& vectors, const Control& control) const override;
  at::Tensor gradient_products(const at::Tensor& vectors, const Control& control) const override;

 private:
  void read_labels(const Instances& instances);
  void read_targets(const Instances& instances, Reduction reduction);
  void read_states(const Model& model, const Instances& instances, int64_t batch_tokens, const Control& control);
  /// States, probabilities and weights of some rows.
  struct Rows {
    at::Tensor states;         // [row, embedding]
    at::Tensor probabilities;  // [row, class]
    at::Tensor group;          // [row] the row's softmax among these rows; undefined where each row is one
    at::Tensor index;          // [row] into all rows
  };
  Rows rows_of(const std::vector<int64_t>& instances) const;
  /// What each vector's parameters make of the states: [row, vector, class].
  at::Tensor outputs(const Rows& rows, const at::Tensor& vectors) const;
  std::vector<std::vector<int64_t>> chunks(int64_t vectors) const;

  bool choice_;
  at::Tensor matrix_, bias_;  // [class, embedding], [class] or undefined
  CachedRows cached_;
  at::Tensor states_;   // [row, embedding]
  at::Tensor targets_;  // [row] class, 0 where unknown; of a choice 1 for the chosen row, 0 for the others
  at::Tensor weights_;  // [row] of the row's loss: 0 without a label
  at::Tensor owners_;   // [row] its instance
};

}  // namespace attribution
