// The fine-tuning loop: AdamW or SGD, warm-up and schedule, clipping, gradient accumulation, dropout, evaluation after
// each epoch, and the best epoch's weights. The given model is untouched.
#pragma once
#include <string>
#include <vector>

#include "core/control.h"
#include "model/batch.h"
#include "model/evaluate.h"
#include "training/run.h"

namespace attribution {

struct FineTuneOptions : TrainingOptions {
  bool keep_best = true;
  int64_t batch_tokens = 4096;                // of the evaluation
  std::vector<std::string> checkpoint_files;  // one per epoch, or none
  std::vector<uint8_t> checkpoint_header;
  std::vector<std::string> checkpoint_weights;
  // One per epoch, or none: AdamW's moments (means of the gradients and of their squares) under the weights' names; 0
  // where a weight does not learn.
  std::vector<std::string> first_moment_files, second_moment_files;
};

struct FineTuneResult {
  Model model;
  std::vector<double> losses, learning_rates;                    // [step]
  std::vector<double> evaluation_losses, evaluation_accuracies;  // [epoch], NaN without evaluation instances
  int64_t kept_epoch = 0;
};

/// Loss of an instance: cross-entropy of its label, or the mean over its target tokens; of a step: the mean over its
/// instances. `evaluation` may be empty (size ≤ 0).
FineTuneResult fine_tune(const Model& base, const Instances& train, const Instances& evaluation,
                         const FineTuneOptions& options, const Control& control);

}  // namespace attribution
