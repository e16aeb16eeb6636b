// Saliency of input tokens: the target's gradient in a token's embedding, along the embedding's path from a baseline.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "core/control.h"
#include "neuron/readout_target.h"

namespace attribution {

struct InputTokenOptions {
  TargetOptions target;
  std::vector<double> nodes, weights;  // on the path; one node at 1 is gradient × input
  bool mean_baseline = false;          // the mean of all tokens' embeddings instead of zero
  int64_t batch_tokens = 4096;
};

struct InputTokenScores {
  at::Tensor scores;            // [token of the data set] double; 0 in rows that the target does not read
  at::Tensor target_values;     // [instance] double
  at::Tensor target_labels;     // [instance] int
  at::Tensor completeness_gap;  // [instance] double: the scores' sum minus (F − F at the baseline)
};

/// Σ_features (e − e⁰) ∫ ∂F/∂e along e⁰ + α (e − e⁰) for all tokens' embeddings e at once; positions keep theirs.
InputTokenScores input_tokens(const Model& model, const Instances& instances, const InputTokenOptions& options,
                              const Control& control);

}  // namespace attribution
