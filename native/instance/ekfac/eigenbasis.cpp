#include "instance/ekfac/eigenbasis.h"

#include "model/linear.h"

namespace attribution {
namespace {

at::ScalarType wide_type(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

}  // namespace

at::Tensor with_ones(const ModuleFactors& m) {
  const at::Tensor inputs = m.inputs.to(wide_type(m.inputs.scalar_type()));
  return m.bias ? at::cat({inputs, at::ones({inputs.size(0), 1}, inputs.options())}, 1) : inputs;
}

at::Tensor wide_gradients(const ModuleFactors& m) { return m.gradients.to(wide_type(m.gradients.scalar_type())); }

InBasis in_basis(const EkfacModule& basis, const ModuleFactors& m, int64_t instances, const at::Tensor& inputs) {
  return {product(wide_gradients(m), basis.output_basis.t()), inputs, token_offsets(m, instances)};
}

at::Tensor inputs_in_basis(const EkfacModule& basis, const ModuleFactors& m) {
  return product(with_ones(m), basis.input_basis.t());
}

void gradient_of(const InBasis& t, int64_t instance, at::Tensor& gradient) {
  const int64_t begin = t.offsets[static_cast<size_t>(instance)],
                tokens = t.offsets[static_cast<size_t>(instance) + 1] - begin;
  at::mm_out(gradient, t.gradients.narrow(0, begin, tokens).t(), t.inputs.narrow(0, begin, tokens));
}

}  // namespace attribution
