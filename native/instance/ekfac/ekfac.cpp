#include "instance/ekfac/ekfac.h"

#include <algorithm>

#include "instance/ekfac/eigenbasis.h"

namespace attribution {
namespace {

/// 1 / (Λ + λ), λ = damping · mean Λ.
at::Tensor inverse_eigenvalues(const EkfacModule& m, double damping) {
  return (m.eigenvalues + damping * m.eigenvalues.mean()).reciprocal();
}

}  // namespace

EkfacBytes ekfac_bytes(const Model& model, const ModuleSelection& modules) {
  EkfacBytes bytes;
  const auto value = static_cast<int64_t>(model.dtype == at::kDouble ? sizeof(double) : sizeof(float));
  for (size_t i = 0; i < modules.size(); ++i) {
    const Parameters& linear = parameters_of(model, modules.id(i));
    const int64_t output = linear.matrix().size(0), input = linear.matrix().size(1) + (linear.bias.defined() ? 1 : 0);
    const int64_t own = (input * input + output * output + input * output) * value, side = std::max(input, output);
    bytes.total += own;
    bytes.module = std::max(bytes.module, own);
    // In double: the matrix, its eigenvectors, and the solver's work.
    bytes.eigen = std::max(bytes.eigen, side * side * 40);
  }
  return bytes;
}

at::Tensor ekfac_inverse(const std::vector<EkfacModule>& modules, const Factors& factors, double damping) {
  std::vector<at::Tensor> parts;
  for (size_t k = 0; k < modules.size(); ++k) {
    const EkfacModule& m = modules[k];
    const int64_t output = m.output_basis.size(0), columns = m.input_basis.size(0), input = columns - (m.bias ? 1 : 0);
    const at::Tensor scale = inverse_eigenvalues(m, damping);
    const InBasis t = in_basis(m, factors.modules[k], factors.instances, inputs_in_basis(m, factors.modules[k]));
    at::Tensor part = at::empty({factors.instances, output * columns}, scale.options()),
               gradient = at::empty_like(scale);
    for (int64_t i = 0; i < factors.instances; ++i) {
      gradient_of(t, i, gradient);
      const at::Tensor back = at::mm(m.output_basis, at::mm(gradient.mul_(scale), m.input_basis.t()));
      part[i].narrow(0, 0, output * input).view({output, input}).copy_(back.narrow(1, 0, input));
      if (m.bias) part[i].narrow(0, output * input, output).copy_(back.select(1, input));
    }
    parts.push_back(part.to(factors.modules[k].gradients.scalar_type()));
    end_use(m);
  }
  return at::cat(parts, 1);
}

at::Tensor ekfac_self(const std::vector<EkfacModule>& modules, const Factors& factors, double damping) {
  at::Tensor total = at::zeros({factors.instances}, at::kDouble);
  for (size_t k = 0; k < modules.size(); ++k) {
    const at::Tensor scale = inverse_eigenvalues(modules[k], damping);
    const InBasis t =
        in_basis(modules[k], factors.modules[k], factors.instances, inputs_in_basis(modules[k], factors.modules[k]));
    at::Tensor gradient = at::empty_like(scale);
    for (int64_t i = 0; i < factors.instances; ++i) {
      gradient_of(t, i, gradient);
      total[i] += gradient.square_().mul_(scale).sum().to(at::kCPU, at::kDouble);
    }
    end_use(modules[k]);
  }
  return total;
}

}  // namespace attribution
