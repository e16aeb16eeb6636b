// Predictions, losses and states of instances, in batches.
#pragma once
#include <ATen/ATen.h>

#include "core/control.h"
#include "model/batch.h"
#include "model/hooks.h"

namespace attribution {

struct Evaluation {
  at::Tensor losses;         // [instance] double; NaN without label or target, or where it is not finite
  at::Tensor predictions;    // [instance] int; -1 where a logit is not finite
  at::Tensor probabilities;  // [instance] double, of the prediction
  at::Tensor target_tokens;  // [instance] int
  at::Tensor logits;         // [row, label] float, on request
};
Evaluation evaluate(const Model& model, const Instances& instances, int64_t batch_tokens, bool logits,
                    const Control& control);

/// What the head reads at the readout position, [row, embedding] float.
at::Tensor readout_states(const Model& model, const Instances& instances, int64_t batch_tokens, const Control& control);

/// A site's values in the chosen layers, [row, layer, width] at the readout position or [token, layer, width] at all,
/// float.
at::Tensor capture_site(const Model& model, const Instances& instances, Site site, const std::vector<int64_t>& layers,
                        bool all_positions, int64_t batch_tokens, const Control& control);

/// Packed indices of a batch's rows (or tokens) in the data set, [row] (or [token]).
at::Tensor row_places(const Instances& instances, const Batch& batch);
at::Tensor token_places(const Instances& instances, const Batch& batch);

/// Runs `each` on every packed batch, with progress and cancellation.
void for_batches(const Model& model, const Instances& instances, int64_t batch_tokens, const char* stage,
                 const Control& control, const std::function<void(const Batch&)>& each, const Fits& fits = {});

}  // namespace attribution
