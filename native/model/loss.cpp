#include "model/loss.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "model/attention.h"
#include "model/linear.h"
#include "model/norm.h"
#include "model/transformer.h"

namespace attribution {
namespace {

LogitTransform logit_transform(const Architecture& a) {
  return a.predicts_tokens() ? LogitTransform{a.logit_scale, a.logit_cap} : LogitTransform{};
}

at::Tensor sum_by_instance(const at::Tensor& values, const at::Tensor& instance, int64_t size) {
  return at::zeros({size}, values.options()).index_add(0, instance, values);
}

at::Tensor label_losses(const Model& model, const at::Tensor& hidden, const Batch& batch, const Hooks& hooks) {
  const at::Tensor scores = readout_class_logits(model, hidden, batch, hooks);
  const at::Tensor known = batch.labels.ge(0);
  const at::Tensor chosen = at::log_softmax(scores, 1).gather(1, batch.labels.clamp_min(0).unsqueeze(1)).squeeze(1);
  return at::where(known, -chosen, at::zeros_like(chosen));
}

at::Tensor language_losses(const Model& model, const at::Tensor& hidden, const Batch& batch, Reduction reduction,
                           const Hooks& hooks) {
  if (!batch.targets.defined())
    fail(Code::missing, "The instances have no target tokens; a causal LM's loss needs them (encode with targets)");
  const at::Tensor counted = batch.targets.ne(no_target).nonzero().squeeze(1);
  const at::Tensor losses =
      token_losses(model, hidden.index_select(0, counted), {batch.targets.index_select(0, counted), {}}, hooks);
  const at::Tensor sums = sum_by_instance(losses, batch.token_instance.index_select(0, counted), batch.size());
  if (reduction == Reduction::sum) return sums;
  return sums / target_counts(model.architecture, batch).clamp_min(1).to(sums.scalar_type());
}

}  // namespace

at::Tensor head_states(const Model& model, const at::Tensor& hidden, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  if (!a.head_transform) return hidden;
  const at::Tensor dense = run_linear(model, {Module::head_dense, -1}, hidden, hooks);
  at::Tensor x = activate(a.head_transform->activation, dense);
  if (a.head_transform->norm) x = run_norm(model, {Module::head_norm, -1}, x, hooks);
  return drop(x, a.head_dropout, hooks);
}

at::Tensor head_logits(const Model& model, const at::Tensor& hidden, const Hooks& hooks) {
  const at::Tensor states = head_states(model, hidden, hooks);
  if (!hooks.taps_head)
    return logit_transform(model.architecture)(wide(apply(head_linear(model), states, hooks.twice_differentiable)));
  at::Tensor logits = run_linear(model, {Module::head, -1}, states, hooks);
  if (model.architecture.has_tied_bias()) logits = run_norm(model, {Module::output_bias, -1}, logits, hooks);
  return logit_transform(model.architecture)(wide(logits));
}

at::Tensor class_logits(const Architecture& a, const at::Tensor& row_logits, const Batch& batch) {
  if (a.head != HeadKind::choice) return row_logits;
  int64_t most = 0;
  std::vector<int64_t> place;
  for (int64_t i = 0; i < batch.size(); ++i) most = std::max(most, batch.group_offsets[i + 1] - batch.group_offsets[i]);
  for (int64_t i = 0; i < batch.size(); ++i) {
    for (int64_t k = 0; k < batch.group_offsets[i + 1] - batch.group_offsets[i]; ++k) place.push_back(i * most + k);
  }
  const at::Tensor empty =
      at::full({batch.size() * most}, -std::numeric_limits<double>::infinity(), row_logits.options());
  return empty.index_copy(0, at::tensor(place, at::kLong).to(row_logits.device()), row_logits.squeeze(1))
      .view({batch.size(), most});
}

at::Tensor readout_class_logits(const Model& model, const at::Tensor& hidden, const Batch& batch, const Hooks& hooks) {
  return class_logits(model.architecture, head_logits(model, read_rows(model.architecture, hidden, batch), hooks),
                      batch);
}

at::Tensor target_counts(const Architecture& a, const Batch& batch) {
  if (!a.predicts_tokens()) return batch.labels.ge(0).to(at::kLong);
  if (!batch.targets.defined()) return at::zeros_like(batch.labels);
  return sum_by_instance(batch.targets.ne(no_target).to(at::kLong), batch.token_instance, batch.size());
}

at::Tensor token_losses(const Model& model, const at::Tensor& hidden, const TokenTargets& targets, const Hooks& hooks) {
  const Linear head = head_linear(model);
  const bool trained = head.weight.requires_grad() || (head.bias.defined() && head.bias.requires_grad());
  const bool frozen = !trained && !hooks.taps_head && !hooks.twice_differentiable;
  if (frozen)
    return frozen_head_losses(head_states(model, hidden, hooks), {head, logit_transform(model.architecture)}, targets);
  const at::Tensor logits = head_logits(model, hidden, hooks);
  return at::cross_entropy_loss(
      logits, targets.given.defined() ? targets.given : targets.drawn(0, at::softmax(logits.detach(), 1)), {},
      at::Reduction::None);
}

at::Tensor instance_losses(const Model& model, const at::Tensor& hidden, const Batch& batch, Reduction reduction,
                           const Hooks& hooks, NotFinite rule) {
  const at::Tensor losses = model.architecture.predicts_tokens()
                                ? language_losses(model, hidden, batch, reduction, hooks)
                                : label_losses(model, hidden, batch, hooks);
  if (rule == NotFinite::refuse) require_finite(batch, losses, at::arange(losses.size(0), at::kLong));
  return losses;
}

at::Tensor target_values(const at::Tensor& class_scores, TargetKind kind, const at::Tensor& labels,
                         const at::Tensor& contrast) {
  at::Tensor values = class_scores;
  if (kind == TargetKind::probability) values = at::softmax(class_scores, 1);
  if (kind == TargetKind::log_probability) values = at::log_softmax(class_scores, 1);
  const at::Tensor chosen = values.gather(1, labels.unsqueeze(1)).squeeze(1);
  return contrast.defined() ? chosen - values.gather(1, contrast.unsqueeze(1)).squeeze(1) : chosen;
}

}  // namespace attribution
