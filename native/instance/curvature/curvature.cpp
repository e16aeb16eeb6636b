#include "instance/curvature/curvature.h"

#include "instance/curvature/head_curvature.h"
#include "instance/curvature/readout_curvature.h"

namespace attribution {

at::Tensor CachedRows::rows_of(const std::vector<int64_t>& instances, at::Device device) const {
  std::vector<int64_t> rows;
  for (const int64_t i : instances) {
    for (int64_t k = 0; k < count(i); ++k) rows.push_back(offsets[static_cast<size_t>(i)] + k);
  }
  return at::tensor(rows, at::kLong).to(device);
}

at::Tensor CachedRows::owners(at::Device device) const {
  at::Tensor owners = at::empty({total()}, at::kLong);
  for (int64_t i = 0; i < instances(); ++i) owners.narrow(0, offsets[static_cast<size_t>(i)], count(i)).fill_(i);
  return owners.to(device);
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
