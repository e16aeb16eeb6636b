#include "instance/curvature/training_curvature.h"

#include "instance/curvature/head_curvature.h"
#include "instance/curvature/network_curvature.h"
#include "instance/curvature/readout_curvature.h"

namespace attribution {

bool caches_states(const Model& model, const Instances& train, const ModuleSelection& modules,
                   const CurvatureOptions& o) {
  return !o.full &&
         (HeadCurvature::applies(model, train, modules, o) || ReadoutCurvature::applies(model, train, modules, o));
}

std::unique_ptr<Curvature> curvature_of(const Model& model, const Instances& train, const ModuleSelection& modules,
                                        const CurvatureOptions& o, const Control& control) {
  if (!o.full && HeadCurvature::applies(model, train, modules, o))
    return std::make_unique<HeadCurvature>(model, train, o, control);
  if (!o.full && ReadoutCurvature::applies(model, train, modules, o))
    return std::make_unique<ReadoutCurvature>(model, train, modules, o, control);
  return network_curvature(model, train, modules, o);
}

}  // namespace attribution
