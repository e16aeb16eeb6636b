#include "instance/gradients/budget.h"

#include <algorithm>

#include "core/error.h"
#include "instance/gradients/factors.h"

namespace attribution {
namespace {

/// libtorch's products keep some 100 MB of their own, whatever the budget.
int64_t tensor_bytes(int64_t budget) { return std::max(budget / 2, budget - (int64_t{128} << 20)); }

std::string amount(int64_t bytes) {
  return bytes < (int64_t{10} << 20) ? std::to_string((bytes + 1023) >> 10) + " KB"
                                     : std::to_string((bytes + (int64_t{1} << 20) - 1) >> 20) + " MB";
}

/// What a token's backward keeps beside the factors: inputs of norms and activations, queries, keys, values and the
/// heads' output.
int64_t graph_values(const Architecture& a) {
  // Experts' rows, what they write, and that times their weights.
  const int64_t visits = a.mixture.chosen * 3 * a.hidden;
  return a.layers * (2 * a.hidden + 4 * a.query_width() + (a.gated ? 3 : 1) * a.active_width() + visits);
}

/// Inputs and outputs of all linear modules of the blocks, of a token.
int64_t linear_values(const Architecture& a) {
  return a.layers * (4 * (a.hidden + a.query_width()) +
                     (a.gated ? 3 : 2) * (std::max<int64_t>(1, a.mixture.chosen) * a.hidden + a.active_width()));
}

}  // namespace

void refuse_budget(int64_t memory_bytes, const std::string& what, int64_t needed) {
  fail(Code::memory, what, " take ", amount(needed), ", but the budget of ", amount(memory_bytes), " has ",
       amount(tensor_bytes(memory_bytes)), " for tensors: raise \"memory\", or select fewer \"parameters\"");
}

int64_t longest_instance(const Instances& d) {
  int64_t longest = 0;
  for (int64_t i = 0; i < d.size(); ++i)
    longest = std::max<int64_t>(longest, (d.group_offsets[i + 1] - d.group_offsets[i]) * d.longest_row(i));
  return longest;
}

Budget::Budget(const Model& model, const ModuleSelection& modules, const FeatureOptions& o)
    : model_(model),
      o_(o),
      room_(tensor_bytes(o.memory_bytes)),
      factors_(factor_bytes(model, modules)),
      parameters_(parameter_width(model, modules) * static_cast<int64_t>(at::elementSize(model.dtype))),
      pool_(static_cast<size_t>(room_)) {}

int64_t Budget::token_bytes(Backward backward, int64_t longest) const {
  const Architecture& a = model_.architecture;
  const auto value = static_cast<int64_t>(at::elementSize(model_.dtype));
  const int64_t once = factors_ + graph_values(a) * value;
  if (backward == Backward::once) return once;
  // Every input and gradient of both backwards stays, and the attention's weights are made.
  return once + 4 * (linear_values(a) + graph_values(a)) * value + 8 * a.layers * a.heads * longest * value;
}

int64_t Budget::batch_tokens(const Instances& instances, int64_t held, Backward backward) const {
  int64_t row = 0;
  for (int64_t i = 0; i < instances.size(); ++i) row = std::max<int64_t>(row, instances.longest_row(i));
  const int64_t each = token_bytes(backward, row), least = longest_instance(instances) * each;
  if (held + least > room_)
    refuse_budget(o_.memory_bytes, "The gradients of the longest instance, with what is held beside them,",
                  held + least);
  return std::min(o_.batch_tokens, (room_ - held) / each);
}

}  // namespace attribution
