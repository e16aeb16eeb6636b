// Gradient features: each instance's gradient of every selected module, projected on both sides before the outer
// product (LoGra, Choe et al. 2024): P_out (Σ_t g_t a_tᵀ) P_inᵀ = Σ_t (P_out g_t)(P_in a_t)ᵀ. The full gradient is
// never formed: the input is projected in the forward, the output gradient where the backward passes it. Rank 0 keeps a
// side whole. Dense and sparse projections of whole gradients form those, some instances at a time. Embeddings and
// norms: see module_projection.h.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "core/control.h"
#include "instance/features/module_projection.h"
#include "instance/gradients/quantity.h"
#include "model/batch.h"
#include "model/loss.h"

namespace attribution {

struct InstanceFeatures {
  at::Tensor values;  // [instance, width] float (double for float64), modules side by side
  at::Tensor losses;  // [instance] the losses whose gradients they are
};

/// The selected modules with their projections; made once per run.
class FeatureExtractor {
 public:
  FeatureExtractor(const Model& model, const FeatureSettings& settings);

  /// Of each instance of the batch; or of each of its tokens, which sum to their instance's, with its loss. Of another
  /// quantity than the loss they are of minus the quantity.
  InstanceFeatures features(const Model& model, const Batch& batch, bool of_tokens = false,
                            const Quantity& of = {}) const;
  /// Factors of gradients with both sides projected.
  Factors projected(const Factors& factors) const;
  /// Vectors of features [vector, width] as vectors of such factors' products, so that inner products with them are
  /// those of features.
  at::Tensor spread(const at::Tensor& features) const;

  /// Whether the rows of a batch stay within 1 GiB of floats; one instance always does.
  bool fits(const BatchShape& batch) const;

  int64_t width() const { return width_; }
  /// First feature of each module, and the end.
  const std::vector<int64_t>& offsets() const { return offsets_; }
  const ModuleSelection& modules() const { return modules_; }
  const ModuleProjection& projection(size_t module) const { return projections_[module]; }

 private:
  static constexpr int64_t most_values = int64_t{1} << 28;

  ModuleSelection modules_;
  std::vector<ModuleProjection> projections_;
  std::vector<int64_t> offsets_;
  int64_t width_ = 0;
  Reduction reduction_;
};

}  // namespace attribution
