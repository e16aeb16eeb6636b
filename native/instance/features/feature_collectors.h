// What a forward and backward leave of one module: each collector watches one use of its weight and adds the projected
// gradients of the instances to the features. Token by token, so that the gradient itself is formed only where the
// projection takes it whole.
#pragma once
#include <ATen/ATen.h>

#include <memory>

#include "instance/features/module_projection.h"
#include "model/weights.h"

namespace attribution {

class GradientCollector {
 public:
  /// `instance` [token] rises; `result` [instance, feature] is a view into the features.
  GradientCollector(const ModuleProjection& projection, at::Tensor instance, at::Tensor result)
      : projection_(projection), instance_(std::move(instance)), result_(std::move(result)) {}
  virtual ~GradientCollector() = default;
  /// Receives the gradients at the module's output as the backward passes it.
  virtual void take(const at::Tensor& gradients) = 0;

 protected:
  /// Adds Σ_t r_t c_tᵀ of the tokens' projected rows and columns.
  void add_outer(const at::Tensor& rows, const at::Tensor& columns) const;
  int64_t instances() const { return result_.size(0); }

  const ModuleProjection& projection_;
  at::Tensor instance_, result_;
};

/// Of a linear module with the given inputs [token, input]; also of a tied table used as output projection.
std::unique_ptr<GradientCollector> linear_collector(const ModuleProjection& projection, at::Tensor instance,
                                                    at::Tensor result, const at::Tensor& inputs);
/// Of an embedding that looks up the given rows [token].
std::unique_ptr<GradientCollector> lookup_collector(const ModuleProjection& projection, at::Tensor instance,
                                                    at::Tensor result, const at::Tensor& rows);
/// Of a norm with the given normalised values [token, feature] or [token, head, feature].
std::unique_ptr<GradientCollector> norm_collector(const ModuleProjection& projection, at::Tensor instance,
                                                  at::Tensor result, bool bias, const at::Tensor& normalised);

/// A frozen linear module that shows its output gradient to a collector. `anchor` makes the backward come here where no
/// input needs it.
at::Tensor tapped_linear(const at::Tensor& input, const at::Tensor& anchor, const Linear& linear,
                         GradientCollector& collector);
/// The same of any other module's output.
at::Tensor tapped_output(const at::Tensor& output, const at::Tensor& anchor, GradientCollector& collector);

}  // namespace attribution
