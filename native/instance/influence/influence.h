// Influence functions (Koh & Liang 2017): ∇L(q)ᵀ (H + λI)⁻¹ ∇L(z), H the Hessian of the mean training loss. Positive:
// training on z lowers the loss of q. To first order L(q) falls by score · ε when z is up-weighted by ε, so removing z
// costs score / N.
#pragma once
#include <ATen/ATen.h>

#include "core/control.h"
#include "instance/influence/options.h"
#include "model/batch.h"

namespace attribution {

struct Influence {
  at::Tensor scores;       // [query, train] float
  int64_t iterations = 0;  // made
  double residual = 0;     // largest relative residual (cg, arnoldi) or last relative change (lissa)
  at::Tensor eigenvalues;  // arnoldi: [pair] double, of those kept, largest magnitude first
};

Influence influence(const Model& model, const Instances& train, const Instances& queries,
                    const InfluenceOptions& options, const Control& control);

}  // namespace attribution
