// What the model says when chosen units are changed at the readout position: the ground of ablation, sufficiency,
// comprehensiveness and Shapley sampling. An intervention is data; it lives for one call.
#pragma once
#include <ATen/ATen.h>

#include <span>

#include "core/control.h"
#include "neuron/readout_target.h"

namespace attribution {

/// suppress: the units become `replacement` (zero); keep_only: all other units of the sites do; scale: the units times
/// `factor`.
enum class Change { suppress, keep_only, scale };

struct UnitSets {
  bool neurons = true,
       heads = false;  // the sites that units are of; with both, a layer's neurons come before its heads
  Change change = Change::suppress;
  double factor = 1;
  at::Tensor neuron_replacement, head_replacement;  // [layer, width] or undefined for zero
  int64_t sets = 0;                                 // of each instance
  std::vector<int32_t> offsets;                     // [instance * sets + 1]
  std::vector<int32_t> units;                       // layer * units of a layer + unit
  TargetOptions target;
  bool full_path = false;  // one full forward per set: the reference
  int64_t batch_tokens = 4096;
  int64_t memory_bytes = int64_t{1} << 30;
};

struct ChangedPredictions {
  at::Tensor predictions, values;                  // [instance] of the unchanged model: int, double (F)
  at::Tensor labels;                               // [instance] int, the class that F speaks of
  at::Tensor changed_predictions, changed_values;  // [instance, set]
};

ChangedPredictions change_units(const Model& model, const Instances& instances, const UnitSets& sets,
                                const Control& control);

}  // namespace attribution
