#include "neuron/patching.h"

#include <torch/csrc/autograd/autograd.h>

#include "core/error.h"
#include "model/evaluate.h"
#include "model/memory/tensor_pool.h"
#include "model/transformer.h"
#include "neuron/memory.h"
#include "neuron/neuron_scores.h"

namespace attribution {
namespace {

void check(const Model& model, const Instances& d, const PatchingOptions& o) {
  const Architecture& a = model.architecture;
  check_instances(model, d, "instances");
  check_target(model, d, o.target);
  if (o.baseline.defined() && o.baseline.sizes() != at::IntArrayRef({a.layers, site_width(a, o.site)}))
    fail(Code::mismatch, "Expected \"baseline\" to hold layers × ", site_width(a, o.site), " values");
  if (!o.counterfactual) return;
  check_instances(model, *o.counterfactual, "counterfactual");
  if (o.counterfactual->size() != d.size())
    fail(Code::mismatch, "Expected a counterfactual for each of ", d.size(), " instances but received ",
         o.counterfactual->size());
  for (int64_t i = 0; i < d.size(); ++i) {
    const auto& other = o.counterfactual->group_offsets;
    if (other[i + 1] - other[i] != d.group_offsets[i + 1] - d.group_offsets[i])
      fail(Code::mismatch, "Expected the counterfactual of instance ", i, " to have as many rows as it");
  }
}

/// The site's values at the target rows' readout, [instance, layer, width].
at::Tensor readout_of(const std::vector<at::Tensor>& values, const Batch& batch, const at::Tensor& rows) {
  std::vector<at::Tensor> taken;
  for (const at::Tensor& value : values) taken.push_back(value.index_select(0, batch.readout.index_select(0, rows)));
  return at::stack(taken, 1);
}

/// The values of the other prompts, or the baseline, [instance or 1, layer, width].
at::Tensor start_values(const Model& model, const Batch& batch, const at::Tensor& rows, const PatchingOptions& o) {
  if (!o.counterfactual) {
    if (o.baseline.defined()) return o.baseline.to(model.options()).unsqueeze(0);
    return at::zeros({1, 1, 1}, model.options());
  }
  const at::NoGradGuard no_grad;
  const Batch other = make_batch(*o.counterfactual, batch.instances, model.device);
  std::vector<at::Tensor> values(static_cast<size_t>(model.architecture.layers));
  Hooks hooks;
  hooks.site = [&](Site site, int64_t layer, const at::Tensor& x) {
    if (site == o.site) values[static_cast<size_t>(layer)] = x;
    return x;
  };
  forward(model, other, hooks);
  return readout_of(values, other, rows);
}

struct Patched {
  at::Tensor scores;
  ReadoutTarget target;
};

Patched patch(const Model& model, const Batch& batch, const PatchingOptions& o) {
  const at::AutoGradMode grad(true);
  std::vector<at::Tensor> values(static_cast<size_t>(model.architecture.layers));
  const at::Tensor hidden = rule_forward(model, batch, o.rule, [&](Site site, int64_t layer, const at::Tensor& x) {
    if (site == o.site) values[static_cast<size_t>(layer)] = x;
    return x;
  });
  ReadoutTarget target = [&] {
    const at::NoGradGuard no_grad;
    return readout_target(model, batch, head_logits(model, hidden.index_select(0, batch.readout)), o.target);
  }();
  const at::Tensor read = hidden.index_select(0, batch.readout.index_select(0, target.rows));
  const auto slopes =
      torch::autograd::grad({target.of(model, read.unsqueeze(1)).sum()}, values, {}, false, false, true);
  std::vector<at::Tensor> defined;
  for (size_t i = 0; i < values.size(); ++i)
    defined.push_back(slopes[i].defined() ? slopes[i] : at::zeros_like(values[i]));
  const at::NoGradGuard no_grad;
  const at::Tensor change = readout_of(values, batch, target.rows) - start_values(model, batch, target.rows, o);
  return {as_units(model.architecture, o.site, change * readout_of(defined, batch, target.rows)), target};
}

}  // namespace

PatchingScores patching_scores(const Model& model, const Instances& d, const PatchingOptions& o,
                               const Control& control) {
  check(model, d, o);
  const Architecture& a = model.architecture;
  PatchingScores result;
  result.scores = at::empty({d.size(), a.layers, site_units(a, o.site)}, at::kFloat);
  result.target_values = at::empty({d.size()}, at::kDouble);
  result.target_labels = at::empty({d.size()}, at::kInt);
  const TensorPool pool(static_cast<size_t>(o.memory_bytes));
  auto each = [&](const Batch& batch) {
    variants_within(model, batch, o.memory_bytes, Effort::forwards);  // refuses what cannot fit
    const auto [scores, target] = patch(model, batch, o);
    const at::Tensor indices = at::tensor(batch.instances, at::kLong);
    result.scores.index_copy_(0, indices, scores.to(at::kCPU, at::kFloat));
    result.target_values.index_copy_(0, indices, target.values.to(at::kCPU, at::kDouble));
    result.target_labels.index_copy_(0, indices, target.labels.to(at::kCPU, at::kInt));
  };
  for_batches(model, d, o.batch_tokens, "patching", control, each, fits_in(model, o.memory_bytes, Effort::forwards));
  return result;
}

}  // namespace attribution
