// Gradients in the space of their features: factors through each module's projections, and features back through the
// part of a projection that takes whole gradients, so that ⟨features, φ⟩ is the inner product of both results.
#include <algorithm>

#include "instance/features/gradient_features.h"

namespace attribution {
namespace {

/// A table's rows, once projected, are those of a linear module.
ModuleFactors projected_module(const ModuleProjection& p, const ModuleFactors& m) {
  const auto high = m.gradients.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  ModuleFactors made = m;
  if (m.kind == ModuleKind::norm) {
    made.gradients = m.gradients.to(high);
  } else if (m.kind == ModuleKind::linear) {
    made.inputs = (p.bias ? p.input.with_one(m.inputs) : p.input(m.inputs)).to(high);
    made.gradients = p.output(m.gradients).to(high);
    made.bias = false;  // the input's trailing 1
  } else if (p.output.is_whole()) {
    made.gradients = p.input(m.gradients).to(high);
  } else {
    made.kind = ModuleKind::linear;
    made.inputs = p.input(m.gradients).to(high);
    made.gradients = p.output.of_units(m.inputs, made.inputs.options()).to(high);
  }
  if (m.head) made.head = std::make_shared<ModuleFactors>(projected_module(p, *m.head));
  return made;
}

}  // namespace

Factors FeatureExtractor::projected(const Factors& factors) const {
  Factors made = factors;
  for (size_t i = 0; i < projections_.size(); ++i)
    made.modules[i] = projected_module(projections_[i], factors.modules[i]);
  return made;
}

at::Tensor FeatureExtractor::spread(const at::Tensor& features) const {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < projections_.size(); ++i) {
    const ModuleProjection& p = projections_[i];
    const size_t segment = std::min(i, offsets_.size() - 2);  // dense: one for all
    const at::Tensor own = features.narrow(1, offsets_[segment], offsets_[segment + 1] - offsets_[segment]);
    if (p.whole.defined()) {
      parts.push_back(at::matmul(own, p.whole.to(own.scalar_type())));
    } else {
      parts.push_back(
          p.sparse.features > 0 ? own.index_select(1, p.sparse.buckets) * p.sparse.signs.to(own.scalar_type()) : own);
    }
  }
  return at::cat(parts, 1);
}

}  // namespace attribution
