// Products with the Hessian, and gradients, over the whole network.
#pragma once
#include <memory>

#include "instance/curvature/curvature.h"

namespace attribution {

/// Any selection: each product is a forward, its backward, and a backward through both per vector. The graph of the
/// first gradient is made once per batch and shared by all vectors.
std::unique_ptr<Curvature> network_curvature(const Model& model, const Instances& train, const ModuleSelection& modules,
                                             const CurvatureOptions& options);

/// Inner products of instances' gradients with vectors over the network, one pass: [vector, instance].
at::Tensor gradient_products(const Model& model, const Instances& instances, const ModuleSelection& modules,
                             const CurvatureOptions& options, const at::Tensor& vectors, const Control& control);

}  // namespace attribution
