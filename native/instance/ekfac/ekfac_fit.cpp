// EK-FAC's factors: the covariances grow where the eigenvectors will lie, so that nothing is held twice.
#include <algorithm>

#include "core/error.h"
#include "instance/ekfac/eigenbasis.h"
#include "instance/ekfac/ekfac.h"
#include "instance/ekfac/factor_file.h"
#include "instance/ekfac/sampled_labels.h"
#include "model/evaluate.h"

namespace attribution {
namespace {

/// The first module that reads the same tensor (query, key and value do; gate and up): they share their input side. An
/// expert that saw no token of the batch keeps its owner.
void find_input_owners(const Factors& factors, std::vector<size_t>& owners) {
  for (size_t i = owners.size(); i < factors.modules.size(); ++i) owners.push_back(i);
  for (size_t i = 0; i < owners.size(); ++i) {
    const ModuleFactors& m = factors.modules[i];
    if (m.inputs.numel() == 0) continue;
    const auto is_same = [&m](const ModuleFactors& other) {
      return other.inputs.numel() > 0 && other.inputs.const_data_ptr() == m.inputs.const_data_ptr() &&
             other.bias == m.bias;
    };
    owners[i] = static_cast<size_t>(std::ranges::find_if(factors.modules, is_same) - factors.modules.begin());
  }
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

/// Of a matrix given by its lower triangle, decomposed in double, in its place.
void to_eigenvectors(at::Tensor& covariance) {
  covariance.copy_(std::get<1>(at::linalg_eigh(covariance.to(at::kDouble))));
}

/// Zeros for the factors of all modules, in memory as far as `factor_bytes` go, and in a file beyond and with a path.
std::vector<EkfacModule> empty_factors(const Model& model, const ModuleSelection& modules, const InfluenceOptions& o,
                                       const std::string& path) {
  const auto type = model.dtype == at::kDouble ? at::kDouble : at::kFloat;
  std::vector<NamedShape> shapes;
  std::vector<EkfacModule> fitted(modules.size());
  for (size_t i = 0; i < modules.size(); ++i) {
    const Parameters& linear = parameters_of(model, modules.id(i));
    fitted[i].bias = linear.bias.defined();
    const int64_t output = linear.matrix().size(0), input = linear.matrix().size(1) + (fitted[i].bias ? 1 : 0);
    const std::string name = module_name(model.architecture, modules.id(i));
    shapes.push_back({name + ".inputBasis", {input, input}});
    shapes.push_back({name + ".outputBasis", {output, output}});
    shapes.push_back({name + ".eigenvalues", {output, input}});
  }
  const bool mapped = model.device.is_cpu() && (!path.empty() || ekfac_bytes(model, modules).total > o.factor_bytes);
  std::vector<at::Tensor> tensors;
  if (mapped) {
    tensors = mapped_tensors(path, shapes, type);
  } else {
    for (const NamedShape& s : shapes)
      tensors.push_back(at::zeros(s.shape, at::TensorOptions().dtype(type).device(model.device)));
  }
  int64_t bytes = 0;
  for (size_t i = 0; i < modules.size(); ++i) {
    EkfacModule& m = fitted[i];
    m.input_basis = tensors[3 * i];
    m.output_basis = tensors[3 * i + 1];
    m.eigenvalues = tensors[3 * i + 2];
    bytes += static_cast<int64_t>(m.input_basis.nbytes() + m.output_basis.nbytes() + m.eigenvalues.nbytes());
    m.returns_pages = mapped && bytes > o.factor_bytes;
  }
  return fitted;
}

/// Σ x xᵀ of inputs and output gradients, then its eigenvectors; returns the owner of each module's input side.
std::vector<size_t> fit_bases(std::vector<EkfacModule>& fitted, const Model& model, const Instances& train,
                              const ModuleSelection& modules, const InfluenceOptions& o, const Control& control) {
  std::vector<size_t> owners;
  for_labelled_factors(model, train, modules, o, "EK-FAC covariances", control, [&](const Factors& factors) {
    find_input_owners(factors, owners);
    for (size_t i = 0; i < modules.size(); ++i) {
      const ModuleFactors& m = factors.modules[i];
      if (owners[i] == i) add_lower_gram(fitted[i].input_basis, with_ones(m));
      add_lower_gram(fitted[i].output_basis, wide_gradients(m));
      end_use(fitted[i]);
    }
  });
  for (size_t i = 0; i < modules.size(); ++i) {  // a common factor of 1 / tokens does not change the eigenvectors
    control.progress(static_cast<int64_t>(i), static_cast<int64_t>(modules.size()), "EK-FAC eigendecomposition");
    if (owners[i] == i) to_eigenvectors(fitted[i].input_basis);
    to_eigenvectors(fitted[i].output_basis);
    if (owners[i] != i) fitted[i].input_basis.copy_(fitted[owners[i]].input_basis);
    end_use(fitted[owners[i]]);
    end_use(fitted[i]);
  }
  return owners;
}

void add_squares(at::Tensor& sum, const InBasis& t, int64_t instances) {
  const auto many = [](int64_t begin, int64_t end) { return end - begin > 1; };
  if (std::ranges::adjacent_find(t.offsets, many) == t.offsets.end()) {  // one token at most, so (s aᵀ)² is s² (a²)ᵀ
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
                                   const InfluenceOptions& o, const Control& control, const std::string& path) {
  check_instances(model, train, "train");
  require_linear(model.architecture, modules, "EK-FAC");
  std::vector<EkfacModule> fitted = empty_factors(model, modules, o, path);
  const std::vector<size_t> owners = fit_bases(fitted, model, train, modules, o, control);
  for_labelled_factors(model, train, modules, o, "EK-FAC eigenvalues", control, [&](const Factors& factors) {
    at::Tensor inputs;  // of modules that follow each other and read the same
    for (size_t i = 0; i < modules.size(); ++i) {
      const ModuleFactors& m = factors.modules[i];
      if (i == 0 || owners[i] != owners[i - 1]) inputs = inputs_in_basis(fitted[i], m);
      add_squares(fitted[i].eigenvalues, in_basis(fitted[i], m, factors.instances, inputs), factors.instances);
      end_use(fitted[i]);
    }
  });
  for (size_t i = 0; i < fitted.size(); ++i) {
    EkfacModule& m = fitted[i];
    m.eigenvalues /= static_cast<double>(train.size());
    if (!(m.eigenvalues.mean().item<double>() > 0))
      fail(
          Code::invalid, "\"", module_name(model.architecture, modules.id(i)),
          "\" has no gradient under the labels of its Fisher information, and EK-FAC cannot invert it: leave it out of "
          "\"parameters\"");
    if (!path.empty())
      for (const at::Tensor* t : {&m.input_basis, &m.output_basis, &m.eigenvalues}) sync_pages(*t);
    end_use(m);
  }
  return fitted;
}

}  // namespace attribution
