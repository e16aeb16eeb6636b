#include "instance/ekfac.h"

#include "model/evaluate.h"
#include "model/linear.h"
#include "storage/error.h"

namespace attribution {
namespace {

at::Tensor with_ones(const ModuleFactors& m) {
  return m.bias ? at::cat({m.inputs, at::ones({m.inputs.size(0), 1}, m.inputs.options())}, 1) : m.inputs;
}

/// splitmix64's mixer over (seed, instance, token): the same draw in every batch.
double uniform_draw(uint64_t seed, uint64_t instance, uint64_t token) {
  uint64_t z = seed * 0x9E3779B97F4A7C15ULL;
  for (const uint64_t word : {instance, token}) {
    z += (word + 1) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
  }
  return (static_cast<double>(z >> 11) + 0.5) * 0x1p-53;
}

/// One label per row of logits, drawn from the model's own distribution; `owner` [row] is the rows' instance in the batch, rising.
at::Tensor sampled(const at::Tensor& logits, const Batch& batch, const at::Tensor& owner, int64_t seed) {
  const at::Tensor at_host = owner.to(at::kCPU, at::kLong).contiguous();
  at::Tensor draws = at::empty({logits.size(0), 1}, at::kDouble);
  int64_t token = 0;
  for (int64_t i = 0; i < draws.size(0); ++i) {
    const int64_t* places = at_host.const_data_ptr<int64_t>();
    token = i > 0 && places[i] == places[i - 1] ? token + 1 : 0;
    draws.data_ptr<double>()[i] = uniform_draw(static_cast<uint64_t>(seed), static_cast<uint64_t>(batch.instances[static_cast<size_t>(places[i])]), static_cast<uint64_t>(token));
  }
  const at::Tensor cumulated = at::softmax(logits.detach().to(at::kCPU, at::kDouble), 1).cumsum(1);
  const at::Tensor last = cumulated.select(1, cumulated.size(1) - 1).unsqueeze(1);  // 1 but for rounding
  return at::searchsorted(cumulated, draws * last).squeeze(1).clamp_max(logits.size(1) - 1).to(logits.device());
}

/// The summed loss under sampled labels, with the reduction of each instance.
Objective sampled_objective(const Model& model, const Batch& batch, const InfluenceOptions& o) {
  return [&](const at::Tensor& hidden, const Hooks& hooks) {
    if (model.architecture.head != HeadKind::causal_lm) {
      const at::Tensor scores = readout_class_logits(model, hidden, batch, hooks);
      const at::Tensor labels = sampled(scores, batch, at::arange(batch.size(), at::kLong), o.seed);
      return at::nll_loss(at::log_softmax(scores, 1), labels, {}, at::Reduction::Sum);
    }
    const at::Tensor counted = batch.targets.ne(no_target).nonzero().squeeze(1);
    const at::Tensor owner = batch.token_instance.index_select(0, counted);
    const at::Tensor logits = head_logits(model, hidden.index_select(0, counted), hooks);
    const at::Tensor losses = at::cross_entropy_loss(logits, sampled(logits, batch, owner, o.seed), {}, at::Reduction::None);
    if (o.reduction == Reduction::sum) return losses.sum();
    const at::Tensor counts = target_counts(model.architecture, batch).clamp_min(1).index_select(0, owner);
    return (losses / counts).sum();
  };
}

/// Factors of every batch under sampled labels, the same in every pass.
void for_sampled_factors(const Model& model, const Instances& train, const ModuleSelection& modules, const InfluenceOptions& o, const char* stage, const Control& control,
                         const std::function<void(const Factors&)>& each) {
  for_batches(model, train, o.batch_tokens, stage, control, [&](const Batch& batch) { each(factors_of(model, batch, modules, sampled_objective(model, batch, o))); });
}

at::Tensor eigenvectors(const at::Tensor& covariance, at::ScalarType dtype) { return std::get<1>(at::linalg_eigh(covariance)).to(dtype).contiguous(); }

std::vector<EkfacModule> fit_bases(const Model& model, const Instances& train, const ModuleSelection& modules, const InfluenceOptions& o, const Control& control) {
  std::vector<at::Tensor> inputs(modules.size()), outputs(modules.size());
  std::vector<EkfacModule> fitted(modules.size());
  for_sampled_factors(model, train, modules, o, "EK-FAC covariances", control, [&](const Factors& factors) {
    for (size_t i = 0; i < modules.size(); ++i) {
      const ModuleFactors& m = factors.modules[i];
      const at::Tensor a = with_ones(m).t(), s = m.gradients.t();
      const at::Tensor aa = product(a, a).to(at::kDouble), ss = product(s, s).to(at::kDouble);
      inputs[i] = inputs[i].defined() ? inputs[i] + aa : aa;
      outputs[i] = outputs[i].defined() ? outputs[i] + ss : ss;
      fitted[i].bias = m.bias;
    }
  });
  for (size_t i = 0; i < modules.size(); ++i) {  // a common factor of 1 / tokens does not turn the eigenvectors
    control.progress(static_cast<int64_t>(i), static_cast<int64_t>(modules.size()), "EK-FAC eigendecomposition");
    fitted[i].input_basis = eigenvectors(inputs[i], model.dtype);
    fitted[i].output_basis = eigenvectors(outputs[i], model.dtype);
    inputs[i] = outputs[i] = at::Tensor();
    fitted[i].eigenvalues = at::zeros({fitted[i].output_basis.size(0), fitted[i].input_basis.size(0)}, fitted[i].output_basis.options());
  }
  return fitted;
}

}  // namespace

std::vector<EkfacModule> fit_ekfac(const Model& model, const Instances& train, const ModuleSelection& modules, const InfluenceOptions& o, const Control& control) {
  std::vector<EkfacModule> fitted = fit_bases(model, train, modules, o, control);
  for_sampled_factors(model, train, modules, o, "EK-FAC eigenvalues", control, [&](const Factors& factors) {
    for (size_t i = 0; i < modules.size(); ++i) {
      const ModuleFactors& m = factors.modules[i];
      const at::Tensor a = product(with_ones(m), fitted[i].input_basis.t()), s = product(m.gradients, fitted[i].output_basis.t());
      const at::Tensor owner = m.instance.to(at::kCPU);
      for (int64_t begin = 0, end; begin < owner.size(0); begin = end) {  // one instance's tokens after the other
        const int64_t instance = owner[begin].item<int64_t>();
        end = begin + owner.narrow(0, begin, owner.size(0) - begin).eq(instance).sum().item<int64_t>();
        const at::Tensor gradient = product(s.narrow(0, begin, end - begin).t(), a.narrow(0, begin, end - begin).t());
        fitted[i].eigenvalues.addcmul_(gradient, gradient);
      }
    }
  });
  for (EkfacModule& m : fitted) {
    m.eigenvalues /= static_cast<double>(train.size());
    if (!(m.eigenvalues.mean().item<double>() > 0)) fail(Code::invalid, "A module has no gradient under the model's own labels: EK-FAC cannot invert it");
  }
  return fitted;
}

at::Tensor ekfac_inverse(const std::vector<EkfacModule>& modules, const at::Tensor& vectors, double damping) {
  at::Tensor result = at::empty_like(vectors);
  int64_t place = 0;
  for (const EkfacModule& m : modules) {
    const int64_t output = m.output_basis.size(0), columns = m.input_basis.size(0), input = columns - (m.bias ? 1 : 0);
    const at::Tensor scale = (m.eigenvalues + damping * m.eigenvalues.mean()).reciprocal();
    for (int64_t v = 0; v < vectors.size(0); ++v) {
      at::Tensor g = vectors[v].narrow(0, place, output * input).view({output, input});
      if (m.bias) g = at::cat({g, vectors[v].narrow(0, place + output * input, output).unsqueeze(1)}, 1);
      const at::Tensor turned = at::matmul(at::matmul(m.output_basis.t(), g), m.input_basis) * scale;
      const at::Tensor back = at::matmul(at::matmul(m.output_basis, turned), m.input_basis.t());
      result[v].narrow(0, place, output * input).copy_(back.narrow(1, 0, input).reshape({-1}));
      if (m.bias) result[v].narrow(0, place + output * input, output).copy_(back.select(1, input));
    }
    place += output * columns;
  }
  return result;
}

}  // namespace attribution
