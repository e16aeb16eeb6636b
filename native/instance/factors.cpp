#include "instance/factors.h"

#include <torch/csrc/autograd/autograd.h>

#include "model/linear.h"
#include "model/transformer.h"
#include "storage/error.h"

namespace attribution {
namespace {

/// [instance, token] with a 1 where the token is the instance's.
at::Tensor membership(const ModuleFactors& m, int64_t instances) {
  const int64_t tokens = m.instance.size(0);
  const at::Tensor ones = at::ones({1, tokens}, m.gradients.options());
  return at::zeros({instances, tokens}, m.gradients.options()).scatter(0, m.instance.unsqueeze(0), ones);
}

/// The head sees the readout rows, or a causal LM's target tokens.
at::Tensor head_instance(const Architecture& a, const Batch& batch) {
  if (a.head == HeadKind::causal_lm) return batch.token_instance.index_select(0, batch.targets.ne(no_target).nonzero().squeeze(1));
  return batch.token_instance.index_select(0, batch.readout);
}

/// Each instance's gradient of one module, [instance, output * input] of the instances first … first + count.
at::Tensor dense_rows(const ModuleFactors& m, const std::vector<int64_t>& offsets, int64_t first, int64_t count) {
  at::Tensor rows = at::empty({count, m.gradients.size(1), m.inputs.size(1)}, m.gradients.options());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = offsets[first + i], tokens = offsets[first + i + 1] - begin;
    at::Tensor row = rows[i];  // short sums: libtorch's own product beats oneDNN's
    at::mm_out(row, m.gradients.narrow(0, begin, tokens).t(), m.inputs.narrow(0, begin, tokens));
  }
  return rows.view({count, -1});
}

/// Σ_t gᵀ V a by the cheaper way: V times every token, or the instances' own gradients first.
void add_weight_products(at::Tensor& total, const at::Tensor& vectors, const ModuleFactors& m, int64_t instances) {
  const int64_t queries = vectors.size(0), tokens = m.inputs.size(0), output = m.gradients.size(1), input = m.inputs.size(1);
  if (queries * tokens <= tokens + queries * instances) {
    for (int64_t v = 0; v < queries; ++v) {
      const at::Tensor seen = product(m.inputs, vectors[v].view({output, input}));
      total[v].index_add_(0, m.instance, (seen * m.gradients).sum(1));
    }
    return;
  }
  const auto offsets = token_offsets(m, instances);
  const int64_t block = std::max<int64_t>(1, (int64_t{64} << 20) / (output * input * 4));  // 256 MB of dense gradients at a time
  for (int64_t first = 0; first < instances; first += block) {
    const int64_t count = std::min(block, instances - first);
    total.narrow(1, first, count).add_(product(vectors.contiguous(), dense_rows(m, offsets, first, count)));
  }
}

}  // namespace

std::vector<int64_t> token_offsets(const ModuleFactors& m, int64_t instances) {
  std::vector<int64_t> offsets(static_cast<size_t>(instances) + 1, 0);
  const at::Tensor owner = m.instance.to(at::kCPU);
  const auto* data = owner.const_data_ptr<int64_t>();
  for (int64_t t = 0; t < owner.size(0); ++t) offsets[static_cast<size_t>(data[t]) + 1] += 1;
  for (size_t i = 1; i < offsets.size(); ++i) offsets[i] += offsets[i - 1];
  return offsets;
}

Factors gradient_factors(const Model& model, const Batch& batch, const ModuleSelection& modules, Reduction reduction) {
  return factors_of(model, batch, modules, [&](const at::Tensor& hidden, const Hooks& hooks) { return instance_losses(model, hidden, batch, reduction, hooks).sum(); });
}

Factors factors_of(const Model& model, const Batch& batch, const ModuleSelection& modules, const Objective& objective) {
  Factors factors;
  factors.instances = batch.size();
  factors.modules.resize(modules.size());
  std::vector<at::Tensor> outputs(modules.size());
  Hooks hooks;
  hooks.taps_head = modules.has_head();
  hooks.linear = [&](ModuleId id, const Linear& linear, const at::Tensor& input) {
    at::Tensor output = apply(linear, input);
    const int64_t place = modules.find(id);
    if (place < 0) return output;
    if (!output.requires_grad()) output.requires_grad_(true);  // the lowest module: the backward ends here
    factors.modules[place].inputs = input.detach();
    factors.modules[place].bias = linear.bias.defined();
    outputs[place] = output;
    return output;
  };
  const at::AutoGradMode grad(true);
  const at::Tensor loss = objective(forward(model, batch, hooks), hooks);
  const auto gradients = torch::autograd::grad({loss}, outputs, {}, false, false, true);
  for (size_t i = 0; i < modules.size(); ++i) {
    factors.modules[i].gradients = gradients[i].defined() ? gradients[i] : at::zeros_like(outputs[i]);
    factors.modules[i].instance = modules.id(i).module == Module::head ? head_instance(model.architecture, batch) : batch.token_instance;
  }
  return factors;
}

at::Tensor pair_products(const Factors& left, const Factors& right) {
  at::Tensor total;
  for (size_t i = 0; i < left.modules.size(); ++i) {
    const ModuleFactors &l = left.modules[i], &r = right.modules[i];
    at::Tensor inputs = product(l.inputs, r.inputs);
    if (l.bias) inputs = inputs + 1;
    const at::Tensor tokens = inputs * product(l.gradients, r.gradients);  // [left token, right token]
    const at::Tensor by_left = product(membership(l, left.instances), tokens.t());
    const at::Tensor pairs = product(by_left, membership(r, right.instances));
    total = total.defined() ? total + pairs : pairs;
  }
  return total;
}

at::Tensor squared_norms(const Factors& factors) {
  std::vector<at::Tensor> norms;
  std::vector<std::vector<int64_t>> offsets;
  for (const ModuleFactors& m : factors.modules) offsets.push_back(token_offsets(m, factors.instances));
  for (int64_t i = 0; i < factors.instances; ++i) {
    at::Tensor sum;
    for (size_t k = 0; k < factors.modules.size(); ++k) {
      const ModuleFactors& m = factors.modules[k];
      const int64_t begin = offsets[k][i], count = offsets[k][i + 1] - begin;
      const at::Tensor a = m.inputs.narrow(0, begin, count), g = m.gradients.narrow(0, begin, count);
      const at::Tensor own = ((at::matmul(a, a.t()) + (m.bias ? 1 : 0)) * at::matmul(g, g.t())).sum();
      sum = sum.defined() ? sum + own : own;
    }
    norms.push_back(sum);
  }
  return at::stack(norms);
}

int64_t parameter_width(const Model& model, const ModuleSelection& modules) {
  Model view = model;
  int64_t width = 0;
  for (size_t i = 0; i < modules.size(); ++i) {
    const Linear linear = modules.id(i).module == Module::head ? head_linear(model) : *linear_of(view, modules.id(i));
    width += linear.weight.numel() + (linear.bias.defined() ? linear.bias.numel() : 0);
  }
  return width;
}

at::Tensor dense_gradients(const Factors& factors) {
  std::vector<std::vector<at::Tensor>> rows(static_cast<size_t>(factors.instances));
  for (const ModuleFactors& m : factors.modules) {
    const auto offsets = token_offsets(m, factors.instances);
    for (int64_t i = 0; i < factors.instances; ++i) {
      const int64_t begin = offsets[i], count = offsets[i + 1] - begin;
      const at::Tensor g = m.gradients.narrow(0, begin, count);
      rows[i].push_back(at::matmul(g.t(), m.inputs.narrow(0, begin, count)).reshape({-1}));
      if (m.bias) rows[i].push_back(g.sum(0));
    }
  }
  std::vector<at::Tensor> all;
  for (const auto& parts : rows) all.push_back(at::cat(parts));
  return at::stack(all);
}

at::Tensor vector_products(const at::Tensor& vectors, const Factors& factors) {
  at::Tensor total = at::zeros({vectors.size(0), factors.instances}, vectors.options());
  int64_t place = 0;
  for (const ModuleFactors& m : factors.modules) {
    const int64_t output = m.gradients.size(1), size = output * m.inputs.size(1);
    add_weight_products(total, vectors.narrow(1, place, size), m, factors.instances);
    place += size;
    if (!m.bias) continue;
    total.index_add_(1, m.instance, product(vectors.narrow(1, place, output).contiguous(), m.gradients));
    place += output;
  }
  return total;
}

}  // namespace attribution
