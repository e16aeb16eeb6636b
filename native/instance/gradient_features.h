// Gradient features: each instance's gradient of every selected module, projected on both sides before the outer product (LoGra, Choe
// et al. 2024): P_out (Σ_t g_t a_tᵀ) P_inᵀ = Σ_t (P_out g_t)(P_in a_t)ᵀ. The full gradient is never formed: the input is projected in
// the forward, the output gradient where the backward passes it. Rank 0 keeps a side whole. Dense and sparse projections of whole
// gradients form those, some instances at a time.
#pragma once
#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "instance/factors.h"
#include "instance/modules.h"
#include "instance/projection.h"
#include "model/batch.h"
#include "model/loss.h"
#include "storage/control.h"

namespace attribution {

struct FeatureSettings {
  std::vector<std::string> modules;
  int64_t rank = 16;  // of each side; rank² features of a module, or of all together (dense); 0: not projected
  int64_t mask = 64;  // inputs and outputs kept of a module, factored_sparse only
  ProjectionKind projection = ProjectionKind::gaussian;
  uint64_t seed = 42;
  at::Tensor bases;  // pca: the directions of every side that is longer than the rank, [rank, width] one after the other, flat
  Reduction reduction = Reduction::sum;
};

struct InstanceFeatures {
  at::Tensor values;  // [instance, width] float (double for float64), modules side by side
  at::Tensor losses;  // [instance] the losses whose gradients they are
};

/// The selected modules with their projections; made once per run.
class FeatureExtractor {
 public:
  FeatureExtractor(const Model& model, const FeatureSettings& settings);

  /// Of each instance of the batch; or of each of its tokens, which sum to their instance's, with its loss.
  InstanceFeatures features(const Model& model, const Batch& batch, bool of_tokens = false) const;
  /// Factors of gradients with both sides projected.
  Factors projected(const Factors& factors) const;
  /// Vectors of features [vector, width] as vectors of such factors' products, so that inner products with them are those of features.
  at::Tensor spread(const at::Tensor& features) const;
  /// Parameters of each module in that layout.
  std::vector<int64_t> spread_widths() const;

  int64_t width() const { return width_; }
  /// First feature of each module, and the end.
  const std::vector<int64_t>& offsets() const { return offsets_; }
  const ModuleSelection& modules() const { return modules_; }

 private:
  struct Side {
    at::Tensor matrix;  // [rank, width]; or
    at::Tensor places;  // [kept], with the scale; or neither: whole
    double scale = 1;
    int64_t width = 0;  // of what is left
  };
  struct Projection {
    Side input, output;  // an input has a trailing 1 with a bias
    bool bias = false;
    at::Tensor dense;         // [feature, output · input], dense only
    SparseProjection sparse;  // sparse and factored_sparse only
  };
  static at::Tensor through(const Side& side, const at::Tensor& x);
  Projection projection_of(const Model& model, ModuleId id, const FeatureSettings& settings, int64_t& bases_read) const;
  friend struct FeatureSink;

  ModuleSelection modules_;
  std::vector<Projection> projections_;
  std::vector<int64_t> offsets_;
  int64_t width_ = 0;
  Reduction reduction_;
};

}  // namespace attribution
