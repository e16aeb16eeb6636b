// Low-rank adapters (LoRA) over the weights of a model: y = W x + scale · B (A x).
#pragma once
#include <vector>

#include "core/control.h"
#include "model/checkpoint.h"

namespace attribution {

/// The base with the adapter that `architecture` describes; the weights that no source fills are the base's own. A seed
/// ≥ 0 draws each A that has no source uniform(−1/√input, 1/√input), as PEFT does, with B = 0; −1 refuses it.
Model add_adapter(const Model& base, const Architecture& architecture, const std::vector<WeightSource>& sources,
                  int64_t seed, const Control& control);

/// The plain model of the same outputs, W + scale · B A in place of W; one without an adapter as it is.
Model merged(const Model& model);

}  // namespace attribution
