#include "instance/ekfac/ekfac.h"

#include <algorithm>

#include "core/error.h"
#include "instance/ekfac/sampled_labels.h"
#include "model/evaluate.h"
#include "model/linear.h"

namespace attribution {
namespace {

at::ScalarType wide_type(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

at::Tensor with_ones(const ModuleFactors& m) {
  const at::Tensor inputs = m.inputs.to(wide_type(m.inputs.scalar_type()));
  return m.bias ? at::cat({inputs, at::ones({inputs.size(0), 1}, inputs.options())}, 1) : inputs;
}

at::Tensor wide_gradients(const ModuleFactors& m) { return m.gradients.to(wide_type(m.gradients.scalar_type())); }

/// The first module that reads the same tensor (query, key and value do; gate and up): they share their input side.
std::vector<size_t> input_owners(const Factors& factors) {
  std::vector<size_t> owners(factors.modules.size());
  for (size_t i = 0; i < owners.size(); ++i) {
    const ModuleFactors& m = factors.modules[i];
    owners[i] = 0;
    while (factors.modules[owners[i]].inputs.const_data_ptr() != m.inputs.const_data_ptr() ||
           factors.modules[owners[i]].bias != m.bias)
      ++owners[i];
  }
  return owners;
}

/// Adds xᵀx of x [token, n] to the lower blocks of `sum` [n, n]; the upper ones stay as they are.
void add_lower_gram(at::Tensor& sum, const at::Tensor& x) {
  const int64_t n = x.size(1), block = (n - 1) / std::max<int64_t>(1, n / 256) +
                                       1;  // equal blocks of some 256: half the work is saved
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t end = std::min(n, begin + block);
    sum.narrow(0, begin, end - begin)
        .narrow(1, 0, end)
        .addmm_(x.narrow(1, begin, end - begin).t(), x.narrow(1, 0, end));
  }
}

void add_covariance(at::Tensor& sum, const at::Tensor& x) {
  if (!sum.defined()) sum = at::zeros({x.size(1), x.size(1)}, x.options());
  add_lower_gram(sum, x);
}

/// Factors of every batch under the Fisher's labels, the same in every pass.
void for_labelled_factors(const Model& model, const Instances& train, const ModuleSelection& modules,
                          const InfluenceOptions& o, const char* stage, const Control& control,
                          const std::function<void(const Factors&)>& each) {
  for_batches(model, train, o.batch_tokens, stage, control, [&](const Batch& batch) {
    each(o.fisher == Fisher::empirical
             ? gradient_factors(model, batch, modules, o.reduction)
             : factors_of(model, batch, modules, sampled_objective(model, batch, o.reduction, o.seed)));
  });
}

/// Of a matrix given by its lower triangle, decomposed in double.
at::Tensor eigenvectors(const at::Tensor& covariance) {
  return std::get<1>(at::linalg_eigh(covariance.to(at::kDouble))).to(covariance.scalar_type()).contiguous();
}

std::vector<EkfacModule> fit_bases(const Model& model, const Instances& train, const ModuleSelection& modules,
                                   const InfluenceOptions& o, const Control& control) {
  std::vector<at::Tensor> inputs(modules.size()), outputs(modules.size());
  std::vector<EkfacModule> fitted(modules.size());
  std::vector<size_t> owners;
  for_labelled_factors(model, train, modules, o, "EK-FAC covariances", control, [&](const Factors& factors) {
    owners = input_owners(factors);
    for (size_t i = 0; i < modules.size(); ++i) {
      const ModuleFactors& m = factors.modules[i];
      if (owners[i] == i) add_covariance(inputs[i], with_ones(m));
      add_covariance(outputs[i], wide_gradients(m));
      fitted[i].bias = m.bias;
    }
  });
  for (size_t i = 0; i < modules.size(); ++i) {  // a common factor of 1 / tokens does not turn the eigenvectors
    control.progress(static_cast<int64_t>(i), static_cast<int64_t>(modules.size()), "EK-FAC eigendecomposition");
    fitted[i].input_basis = owners[i] == i ? eigenvectors(inputs[i]) : fitted[owners[i]].input_basis;
    fitted[i].output_basis = eigenvectors(outputs[i]);
    inputs[i] = outputs[i] = at::Tensor();
    fitted[i].eigenvalues =
        at::zeros({fitted[i].output_basis.size(0), fitted[i].input_basis.size(0)}, fitted[i].output_basis.options());
  }
  return fitted;
}

/// A module's output gradients and inputs in its eigenbasis: an instance's gradient there is Q_Sᵀ G Q_A = Σ_t s_t a_tᵀ.
struct Turned {
  at::Tensor gradients;  // s [token, output]
  at::Tensor inputs;     // a [token, input (+ 1)]
  std::vector<int64_t> offsets;
};

Turned turned(const EkfacModule& basis, const ModuleFactors& m, int64_t instances, const at::Tensor& inputs) {
  return {product(wide_gradients(m), basis.output_basis.t()), inputs, token_offsets(m, instances)};
}

at::Tensor turned_inputs(const EkfacModule& basis, const ModuleFactors& m) {
  return product(with_ones(m), basis.input_basis.t());
}

/// Q_Sᵀ G Q_A of one instance into `gradient` [output, input (+ 1)].
void gradient_of(const Turned& t, int64_t instance, at::Tensor& gradient) {
  const int64_t begin = t.offsets[static_cast<size_t>(instance)],
                tokens = t.offsets[static_cast<size_t>(instance) + 1] - begin;
  at::mm_out(gradient, t.gradients.narrow(0, begin, tokens).t(), t.inputs.narrow(0, begin, tokens));
}

/// 1 / (Λ + λ), λ = damping · mean Λ.
at::Tensor inverse_eigenvalues(const EkfacModule& m, double damping) {
  return (m.eigenvalues + damping * m.eigenvalues.mean()).reciprocal();
}

void add_squares(at::Tensor& sum, const Turned& t, int64_t instances) {
  if (t.gradients.size(0) == instances) {  // one token each, so (s aᵀ)² is s² (a²)ᵀ
    sum.addmm_(t.gradients.square().t(), t.inputs.square());
    return;
  }
  at::Tensor gradient = at::empty_like(sum);
  for (int64_t i = 0; i < instances; ++i) {
    gradient_of(t, i, gradient);
    sum.addcmul_(gradient, gradient);
  }
}

}  // namespace

std::vector<EkfacModule> fit_ekfac(const Model& model, const Instances& train, const ModuleSelection& modules,
                                   const InfluenceOptions& o, const Control& control) {
  check_instances(model, train, "train");
  require_linear(model.architecture, modules, "EK-FAC");
  std::vector<EkfacModule> fitted = fit_bases(model, train, modules, o, control);
  for_labelled_factors(model, train, modules, o, "EK-FAC eigenvalues", control, [&](const Factors& factors) {
    const auto owners = input_owners(factors);
    std::vector<at::Tensor> inputs(modules.size());
    for (size_t i = 0; i < modules.size(); ++i) {
      const ModuleFactors& m = factors.modules[i];
      inputs[i] = owners[i] == i ? turned_inputs(fitted[i], m) : inputs[owners[i]];
      add_squares(fitted[i].eigenvalues, turned(fitted[i], m, factors.instances, inputs[i]), factors.instances);
    }
  });
  for (EkfacModule& m : fitted) {
    m.eigenvalues /= static_cast<double>(train.size());
    if (!(m.eigenvalues.mean().item<double>() > 0))
      fail(Code::invalid,
           "A module has no gradient under the labels of its Fisher information: EK-FAC cannot invert it");
  }
  return fitted;
}

at::Tensor ekfac_inverse(const std::vector<EkfacModule>& modules, const Factors& factors, double damping) {
  std::vector<at::Tensor> parts;
  for (size_t k = 0; k < modules.size(); ++k) {
    const EkfacModule& m = modules[k];
    const int64_t output = m.output_basis.size(0), columns = m.input_basis.size(0), input = columns - (m.bias ? 1 : 0);
    const at::Tensor scale = inverse_eigenvalues(m, damping);
    const Turned t = turned(m, factors.modules[k], factors.instances, turned_inputs(m, factors.modules[k]));
    at::Tensor part = at::empty({factors.instances, output * columns}, scale.options()),
               gradient = at::empty_like(scale);
    for (int64_t i = 0; i < factors.instances; ++i) {
      gradient_of(t, i, gradient);
      const at::Tensor back = at::mm(m.output_basis, at::mm(gradient.mul_(scale), m.input_basis.t()));
      part[i].narrow(0, 0, output * input).view({output, input}).copy_(back.narrow(1, 0, input));
      if (m.bias) part[i].narrow(0, output * input, output).copy_(back.select(1, input));
    }
    parts.push_back(part.to(factors.modules[k].gradients.scalar_type()));
  }
  return at::cat(parts, 1);
}

at::Tensor ekfac_self(const std::vector<EkfacModule>& modules, const Factors& factors, double damping) {
  at::Tensor total = at::zeros({factors.instances}, at::kDouble);
  for (size_t k = 0; k < modules.size(); ++k) {
    const at::Tensor scale = inverse_eigenvalues(modules[k], damping);
    const Turned t =
        turned(modules[k], factors.modules[k], factors.instances, turned_inputs(modules[k], factors.modules[k]));
    at::Tensor gradient = at::empty_like(scale);
    for (int64_t i = 0; i < factors.instances; ++i) {
      gradient_of(t, i, gradient);
      total[i] += gradient.square_().mul_(scale).sum().to(at::kCPU, at::kDouble);
    }
  }
  return total;
}

}  // namespace attribution
