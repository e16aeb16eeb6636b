// Greedy continuations of prompts with units changed at every position from the prompt's last token on.
#pragma once
#include "neuron/change_units.h"

namespace attribution {

/// Token ids [instance, token] int, the most probable one at each step. `sets` holds one set per instance; its target,
/// engine and memory are not looked at. No cache: one full forward per token.
at::Tensor generate(const Model& model, const Instances& prompts, const UnitSets& sets, int64_t tokens,
                    const Control& control);

}  // namespace attribution
