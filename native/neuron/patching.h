// Attribution patching over all units of both sites in one forward and one backward, by a rule of its own, against
// another prompt's values or a baseline; with AtP*'s correction for queries and keys, and its gradients with dropped
// layers.
#pragma once
#include <ATen/ATen.h>

#include <optional>

#include "core/control.h"
#include "neuron/readout_target.h"
#include "neuron/rule_forward.h"

namespace attribution {

/// What of a head takes the other prompt's value: its output, or its query, key or value at the readout position.
enum class HeadPart { output, query, key, value };

struct PatchingOptions {
  bool neurons = true, heads = false;
  HeadPart part = HeadPart::output;  // others need `counterfactual` with rows of the same lengths
  bool drop_layers = false;          // GradDrop
  TargetOptions target;
  RuleOptions rule;
  at::Tensor neuron_baseline, head_baseline;  // [layer, width]; undefined for zero or where there are other prompts
  std::optional<Instances> counterfactual;    // [instance] prompts whose readout values are the baseline of each
  int64_t batch_tokens = 4096;
  int64_t memory_bytes = int64_t{1} << 30;  // what a batch's forward keeps for its backward
};

struct PatchingScores {
  at::Tensor scores;  // [instance, layer, unit] float: (w − w⁰) ρ, ρ the rule's ∂F/∂w; neurons, then heads
  at::Tensor target_values;  // [instance] double
  at::Tensor target_labels;  // [instance] int
};

PatchingScores patching_scores(const Model& model, const Instances& instances, const PatchingOptions& options,
                               const Control& control);

}  // namespace attribution
