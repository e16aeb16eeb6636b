// A forward whose values are the model's own and whose backward follows another rule than the chain rule: the ground of
// attribution patching by RelP and GIM.
#pragma once
#include <ATen/ATen.h>

#include "model/attention.h"
#include "model/batch.h"
#include "model/hooks.h"

namespace attribution {

/// gradient: the chain rule. relp (Jafari et al. 2025): norm scales constant, an activation's slope f(x)/x, half of a
/// gated product to each branch. gim (Edin et al. 2025): norm statistics constant, the softmax's backward at twice the
/// temperature, ¼ into query and key, ½ into value, gate and up.
enum class BackwardRule { gradient, relp, gim };

struct RuleOptions {
  BackwardRule rule = BackwardRule::gradient;
  bool detach_attention = false;  // relp: attention patterns constant too
};

/// What a caller watches of such a forward.
struct RuleTaps {
  /// Sees the sites' values as hooks do, the neurons' and the heads'.
  std::function<at::Tensor(Site, int64_t layer, const at::Tensor&)> site;
  /// Sees each layer's projections, rotated.
  std::function<void(int64_t layer, const QueryKeyValue&)> projections;
  /// [layer] factors of the gradients that flow back through what the layer writes to the residual, read at the
  /// backward: set them between two backwards over one forward. Undefined: all 1.
  at::Tensor gates;
};

/// What the head reads, [token, embedding].
at::Tensor rule_forward(const Model& model, const Batch& batch, const RuleOptions& options, const RuleTaps& taps);

}  // namespace attribution
