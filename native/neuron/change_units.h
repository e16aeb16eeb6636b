// What the model says when chosen units are changed at the readout position: the ground of ablation, sufficiency,
// comprehensiveness and Shapley sampling. An intervention is data; it lives for one call.
#pragma once
#include <ATen/ATen.h>

#include "core/control.h"
#include "neuron/unit_sets.h"

namespace attribution {

struct ChangedPredictions {
  at::Tensor predictions, values;                  // [instance] of the unchanged model: int, double (F)
  at::Tensor labels;                               // [instance] int, the class that F speaks of
  at::Tensor changed_predictions, changed_values;  // [instance, set]
};

ChangedPredictions change_units(const Model& model, const Instances& instances, const UnitSets& sets,
                                const Control& control);

}  // namespace attribution
