#include "neuron/readout_target.h"

#include "core/error.h"

namespace attribution {
namespace {

at::Tensor chosen(const std::vector<int32_t>& values, const Batch& batch, at::Device device) {
  std::vector<int64_t> taken;
  for (const int64_t i : batch.instances) taken.push_back(values[static_cast<size_t>(i)]);
  return at::tensor(taken, at::kLong).to(device);
}

void check_classes(const Model& model, const Instances& d, const std::vector<int32_t>& labels, const char* name) {
  const Architecture& a = model.architecture;
  if (static_cast<int64_t>(labels.size()) != d.size())
    fail(Code::invalid, "Expected \"", name, "\" to name a class for each of ", d.size(), " instances but received ",
         labels.size());
  for (int64_t i = 0; i < d.size(); ++i) {
    const int64_t rows = d.group_offsets[i + 1] - d.group_offsets[i];
    const int64_t classes = a.head == HeadKind::choice ? rows : a.predicts_tokens() ? a.vocabulary : a.labels;
    if (labels[i] < 0 || labels[i] >= classes)
      fail(Code::invalid, "Expected \"", name, "\" within 0–", classes - 1, " but received ", labels[i],
           " for instance ", i);
  }
}

}  // namespace

void check_target(const Model& model, const Instances& d, const TargetOptions& options) {
  if (options.labels == TargetOptions::Labels::given) check_classes(model, d, options.given, "target labels");
  if (options.labels == TargetOptions::Labels::gold)
    check_classes(model, d, {d.labels.begin(), d.labels.end()}, "gold labels");
  if (!options.contrast.empty()) check_classes(model, d, options.contrast, "contrast");
}

ReadoutTarget readout_target(const Model& model, const Batch& batch, const at::Tensor& row_logits,
                             const TargetOptions& options) {
  require_finite(batch, row_logits, batch.token_instance.index_select(0, batch.readout));
  ReadoutTarget target;
  target.kind = options.kind;
  target.class_scores = class_logits(model.architecture, row_logits, batch);
  if (options.labels == TargetOptions::Labels::predicted) target.labels = target.class_scores.argmax(1);
  if (options.labels == TargetOptions::Labels::gold) target.labels = batch.labels;
  if (options.labels == TargetOptions::Labels::given) target.labels = chosen(options.given, batch, model.device);
  if (!options.contrast.empty()) target.contrast = chosen(options.contrast, batch, model.device);
  const std::vector<int64_t> first(batch.group_offsets.begin(), batch.group_offsets.end() - 1);
  target.rows = at::tensor(first, at::kLong).to(model.device);
  if (model.architecture.head == HeadKind::choice) target.rows = target.rows + target.labels;
  target.values = target_values(target.class_scores, target.kind, target.labels, target.contrast);
  return target;
}

at::Tensor ReadoutTarget::changed_scores(const Model& model, const at::Tensor& hidden) const {
  const int64_t variants = hidden.size(1);
  const at::Tensor logits = head_logits(model, hidden.reshape({-1, hidden.size(2)}));
  if (model.architecture.head != HeadKind::choice) return logits;
  return class_scores.repeat_interleave(variants, 0)
      .scatter(1, labels.repeat_interleave(variants).unsqueeze(1), logits);
}

at::Tensor ReadoutTarget::of(const Model& model, const at::Tensor& hidden) const {
  const int64_t variants = hidden.size(1);
  const at::Tensor repeated = contrast.defined() ? contrast.repeat_interleave(variants) : at::Tensor();
  return target_values(changed_scores(model, hidden), kind, labels.repeat_interleave(variants), repeated)
      .view({hidden.size(0), variants});
}

}  // namespace attribution
