#include "instance/features/gradient_features.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "core/error.h"
#include "instance/features/feature_collectors.h"
#include "instance/gradients/token_factors.h"
#include "model/linear.h"
#include "model/norm.h"
#include "model/transformer.h"

namespace attribution {

FeatureExtractor::FeatureExtractor(const Model& model, const FeatureSettings& s)
    : modules_(model.architecture, s.modules), reduction_(s.reduction) {
  if (s.rank == 0 && s.projection > ProjectionKind::pca)
    fail(Code::invalid, "A projection of whole gradients needs a rank above 0");
  Bases bases{s.bases};
  const bool together = s.projection == ProjectionKind::dense;
  for (size_t i = 0; i < modules_.size(); ++i) {
    projections_.push_back(module_projection(model, modules_.id(i), s, bases));
    if (together && i > 0) continue;
    offsets_.push_back(width_);
    width_ += projections_.back().features();
  }
  offsets_.push_back(width_);
  if (width_ > std::numeric_limits<int32_t>::max())
    fail(Code::memory, "A row of ", width_,
         " features is more than a store can hold: choose a \"rank\" above 0 or fewer \"parameters\"");
}

bool FeatureExtractor::fits(const BatchShape& batch) const {
  return batch.instances == 1 || batch.instances <= most_values / width_;
}

InstanceFeatures FeatureExtractor::features(const Model& model, const Batch& batch, bool of_tokens,
                                            const Quantity& of) const {
  std::optional<QuantityWatch> quantity;
  if (!of.is_loss()) quantity.emplace(model, batch, of);
  const auto high = model.dtype == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor result = at::zeros({of_tokens ? batch.token_total() : batch.size(), width_},
                                at::TensorOptions().dtype(high).device(model.device));
  std::vector<std::unique_ptr<GradientCollector>> collectors;
  auto watch = [&](int64_t place, ModuleId id, const at::Tensor& seen, auto&& make) -> GradientCollector& {
    const at::NoGradGuard no_grad;
    const auto segment = std::min<size_t>(static_cast<size_t>(place), offsets_.size() - 2);  // dense: one for all
    const at::Tensor part = result.narrow(1, offsets_[segment], offsets_[segment + 1] - offsets_[segment]);
    const bool head = is_head(id.module);
    const at::Tensor owner = quantity && head ? (of_tokens ? quantity->head_tokens() : quantity->head_instance())
                             : of_tokens      ? (seen.defined() ? seen : seen_tokens(model.architecture, batch, head))
                                              : module_instance(model.architecture, batch, id, seen);
    collectors.push_back(make(projections_[static_cast<size_t>(place)], owner, part));
    return *collectors.back();
  };
  const at::Tensor anchor = at::zeros({}, model.options()).requires_grad_(true);
  Hooks hooks;
  hooks.taps_head = modules_.taps_head();
  hooks.linear = [&](ModuleId id, const Linear& linear, const at::Tensor& input, const at::Tensor& seen) {
    const int64_t place = modules_.find(id);
    if (place < 0) return apply(linear, input);
    return tapped_linear(input, anchor, linear,
                         watch(place, id, seen, [&](const auto& p, const at::Tensor& instance, const at::Tensor& part) {
                           return linear_collector(p, instance, part, input.detach());
                         }));
  };
  hooks.lookup = [&](ModuleId id, const at::Tensor& table, const at::Tensor& rows) {
    const int64_t place = modules_.find(id);
    const at::Tensor output = at::embedding(table, rows);
    if (place < 0) return output;
    return tapped_output(output, anchor,
                         watch(place, id, {}, [&](const auto& p, const at::Tensor& instance, const at::Tensor& part) {
                           return lookup_collector(p, instance, part, rows);
                         }));
  };
  hooks.norm = [&](ModuleId id, const Norm& norm, const at::Tensor& input) {
    const int64_t place = modules_.find(id);
    const at::Tensor output = apply(model, id, input);
    if (place < 0) return output;
    return tapped_output(output, anchor,
                         watch(place, id, {}, [&](const auto& p, const at::Tensor& instance, const at::Tensor& part) {
                           return norm_collector(p, instance, part, norm.bias.defined(),
                                                 normalised(model.architecture, id, input.detach()));
                         }));
  };
  if (quantity) quantity->attach(hooks);
  const at::AutoGradMode grad(true);
  const at::Tensor hidden = forward(model, batch, hooks);
  const at::Tensor losses =
      quantity ? -quantity->values(hidden, hooks) : instance_losses(model, hidden, batch, reduction_, hooks);
  if (losses.requires_grad()) torch::autograd::grad({losses.sum()}, {anchor}, {}, false, false, true);
  return {result, of_tokens ? losses.detach().index_select(0, batch.token_instance) : losses.detach()};
}

}  // namespace attribution
