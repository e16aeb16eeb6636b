#include "model/evaluate.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "model/loss.h"
#include "model/transformer.h"

namespace attribution {
namespace {

at::Tensor indices(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

void add(Evaluation& result, const Model& model, const Instances& d, const Batch& batch) {
  const Architecture& a = model.architecture;
  const at::Tensor hidden = forward(model, batch, {}, NotFinite::keep);
  const at::Tensor row_logits = head_logits(model, read_rows(a, hidden, batch));
  const auto [probability, prediction] = at::softmax(class_logits(a, row_logits, batch).to(at::kDouble), 1).max(1);
  const at::Tensor place = indices(batch.instances);
  const at::Tensor counts = target_counts(a, batch).to(at::kCPU);
  at::Tensor losses = at::zeros({batch.size()}, at::kDouble);
  if (!a.predicts_tokens() || batch.targets.defined()) {
    losses = instance_losses(model, hidden, batch, Reduction::sum, {}, NotFinite::keep).to(at::kCPU, at::kDouble);
  }
  const at::Tensor unknown = counts.eq(0).logical_or(at::isfinite(losses).logical_not());
  result.losses.index_copy_(0, place, losses.masked_fill(unknown, std::numeric_limits<double>::quiet_NaN()));
  result.predictions.index_copy_(0, place, prediction.masked_fill(probability.isnan(), -1).to(at::kCPU, at::kInt));
  result.probabilities.index_copy_(0, place, probability.to(at::kCPU));
  result.target_tokens.index_copy_(0, place, counts.to(at::kInt));
  if (result.logits.defined()) result.logits.index_copy_(0, row_places(d, batch), row_logits.to(at::kCPU, at::kFloat));
}

}  // namespace

at::Tensor row_places(const Instances& d, const Batch& batch) {
  std::vector<int64_t> places;
  for (const int64_t i : batch.instances) {
    for (int64_t row = d.group_offsets[i]; row < d.group_offsets[i + 1]; ++row) places.push_back(row);
  }
  return indices(places);
}

at::Tensor token_places(const Instances& d, const Batch& batch) {
  std::vector<int64_t> places;
  for (const int64_t i : batch.instances) {
    for (int64_t t = d.row_offsets[d.group_offsets[i]]; t < d.row_offsets[d.group_offsets[i + 1]]; ++t)
      places.push_back(t);
  }
  return indices(places);
}

void for_batches(const Model& model, const Instances& d, int64_t batch_tokens, const char* stage,
                 const Control& control, const std::function<void(const Batch&)>& each, const Fits& fits) {
  int64_t done = 0;
  for (auto& chosen : pack(d, batch_tokens, fits)) {
    control.progress(done, d.size(), stage);
    const Batch batch = make_batch(d, std::move(chosen), model);
    each(batch);
    done += batch.size();
  }
  control.progress(done, d.size(), stage);
}

Evaluation evaluate(const Model& model, const Instances& d, int64_t batch_tokens, bool logits, const Control& control) {
  check_instances(model, d, "instances");
  const at::NoGradGuard no_grad;
  Evaluation result;
  result.losses = at::empty({d.size()}, at::kDouble);
  result.predictions = at::empty({d.size()}, at::kInt);
  result.probabilities = at::empty({d.size()}, at::kDouble);
  result.target_tokens = at::empty({d.size()}, at::kInt);
  const int64_t width = head_linear(model).matrix().size(0);
  if (logits) result.logits = at::empty({d.rows(), width}, at::kFloat);
  for_batches(model, d, batch_tokens, "evaluating", control, [&](const Batch& batch) { add(result, model, d, batch); });
  return result;
}

at::Tensor readout_states(const Model& model, const Instances& d, int64_t batch_tokens, const Control& control) {
  check_instances(model, d, "instances");
  const at::NoGradGuard no_grad;
  at::Tensor states = at::empty({d.rows(), model.architecture.embedding_size}, at::kFloat);
  for_batches(model, d, batch_tokens, "reading states", control, [&](const Batch& batch) {
    states.index_copy_(0, row_places(d, batch),
                       read_rows(model.architecture, forward(model, batch), batch).to(at::kCPU, at::kFloat));
  });
  return states;
}

at::Tensor capture_site(const Model& model, const Instances& d, Site site, const std::vector<int64_t>& layers,
                        bool all_positions, int64_t batch_tokens, const Control& control) {
  check_instances(model, d, "instances");
  if (site == Site::pre_activation && model.architecture.gated)
    fail(Code::unsupported, "A gated MLP has no single pre-activation");
  const at::NoGradGuard no_grad;
  const int64_t width = site_width(model.architecture, site);
  at::Tensor values = at::empty(
      {all_positions ? static_cast<int64_t>(d.tokens.size()) : d.rows(), static_cast<int64_t>(layers.size()), width},
      at::kFloat);
  for_batches(model, d, batch_tokens, "capturing", control, [&](const Batch& batch) {
    const at::Tensor places = all_positions ? token_places(d, batch) : row_places(d, batch);
    Hooks hooks;
    hooks.site = [&](Site where, int64_t layer, const at::Tensor& x) {
      if (where != site) return x;
      const auto found = std::find(layers.begin(), layers.end(), layer);
      if (found == layers.end()) return x;
      const at::Tensor taken = (all_positions ? x : x.index_select(0, batch.readout)).to(at::kCPU, at::kFloat);
      values.select(1, found - layers.begin()).index_copy_(0, places, taken);
      return x;
    };
    forward(model, batch, hooks);
  });
  return values;
}

}  // namespace attribution
