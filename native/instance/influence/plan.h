// How an influence function shares its budget between vectors of the parameters, cached states and batches.
#pragma once
#include "instance/gradients/budget.h"
#include "instance/influence/options.h"

namespace attribution {

/// Vectors of the parameters' size that a solver holds of each query.
int64_t vector_copies(Inverse inverse);

/// The options with the batches and the memory for vectors that fit the budget beside each other; refuses a budget that
/// cannot hold one query. `others`: the instances beside the training set whose gradients are taken.
InfluenceOptions within_budget(const Budget& budget, const Model& model, const ModuleSelection& modules,
                               const Instances& train, const Instances& others, const InfluenceOptions& options);

/// The options with the batches and the resident factors of a fit of EK-FAC that fit the budget.
InfluenceOptions fit_within_budget(const Budget& budget, const Model& model, const ModuleSelection& modules,
                                   const Instances& train, const InfluenceOptions& options);

}  // namespace attribution
