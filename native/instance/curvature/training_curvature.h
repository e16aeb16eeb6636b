// The curvature of a training set, over cached states or over the network.
#pragma once
#include <memory>

#include "instance/curvature/curvature.h"

namespace attribution {

/// Whether states are cached for this selection within these options.
bool caches_states(const Model& model, const Instances& train, const ModuleSelection& modules,
                   const CurvatureOptions& options);

/// Over cached states where the selection allows it (see head_curvature.h, readout_curvature.h) and they take at most
/// half of the memory; else over the network. `model` and `train` must outlive it.
std::unique_ptr<Curvature> curvature_of(const Model& model, const Instances& train, const ModuleSelection& modules,
                                        const CurvatureOptions& options, const Control& control);

}  // namespace attribution
