// The target F of a batch: which class it speaks of, which row's units it is attributed to, and F of changed readout
// states.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "model/loss.h"

namespace attribution {

struct TargetOptions {
  TargetKind kind = TargetKind::probability;
  enum class Labels { predicted, gold, given } labels = Labels::predicted;
  std::vector<int32_t> given;     // [instance of the data set]
  std::vector<int32_t> contrast;  // the same; empty: none
};
void check_target(const Model& model, const Instances& instances, const TargetOptions& options);

struct ReadoutTarget {
  TargetKind kind;
  at::Tensor rows;          // [instance] the batch's row whose units are attributed (a choice: the target's own)
  at::Tensor labels;        // [instance]
  at::Tensor contrast;      // [instance] or undefined
  at::Tensor class_scores;  // [instance, class] of the unchanged model
  at::Tensor values;        // [instance] F of the unchanged model

  /// Class scores with the target row's hidden states [instance, variant, embedding] in place: [instance * variant,
  /// class].
  at::Tensor changed_scores(const Model& model, const at::Tensor& hidden) const;
  /// F of them, [instance, variant].
  at::Tensor of(const Model& model, const at::Tensor& hidden) const;
};

/// From the unchanged rows' readout logits.
ReadoutTarget readout_target(const Model& model, const Batch& batch, const at::Tensor& row_logits,
                             const TargetOptions& options);

}  // namespace attribution
