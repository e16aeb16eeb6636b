// Gradients in the space of their features: factors through each module's projections, and features back through the part of a projection
// that takes whole products (dense, sparse), so that ⟨features, φ⟩ is the inner product of both results.
#include "instance/gradient_features.h"

#include "model/linear.h"

namespace attribution {

at::Tensor FeatureExtractor::through(const Side& side, const at::Tensor& x) {
  if (side.matrix.defined()) return product(x, side.matrix);
  return side.places.defined() ? x.index_select(1, side.places) * side.scale : x;
}

Factors FeatureExtractor::projected(const Factors& factors) const {
  Factors made = factors;
  for (size_t i = 0; i < projections_.size(); ++i) {
    const Projection& p = projections_[i];
    ModuleFactors& m = made.modules[i];
    const auto high = m.gradients.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor inputs = p.bias ? at::cat({m.inputs, at::ones({m.inputs.size(0), 1}, m.inputs.options())}, 1) : m.inputs;
    m.inputs = through(p.input, inputs).to(high);
    m.gradients = through(p.output, m.gradients).to(high);
    m.bias = false;  // the input's trailing 1
  }
  return made;
}

std::vector<int64_t> FeatureExtractor::spread_widths() const {
  std::vector<int64_t> widths;
  for (const Projection& p : projections_) widths.push_back(p.output.width * p.input.width);
  return widths;
}

at::Tensor FeatureExtractor::spread(const at::Tensor& features) const {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < projections_.size(); ++i) {
    const Projection& p = projections_[i];
    if (p.dense.defined()) {
      parts.push_back(at::matmul(features, p.dense.to(features.scalar_type())));
      continue;
    }
    const at::Tensor own = features.narrow(1, offsets_[i], offsets_[i + 1] - offsets_[i]);
    parts.push_back(p.sparse.features > 0 ? own.index_select(1, p.sparse.buckets) * p.sparse.signs.to(own.scalar_type()) : own);
  }
  return at::cat(parts, 1);
}

}  // namespace attribution
