#include "instance/hessian.h"

#include <torch/csrc/autograd/autograd.h>

#include "model/transformer.h"
#include "storage/error.h"

namespace attribution {

Hessian::Hessian(const Model& model, const ModuleSelection& modules, Reduction reduction) : model_(model), reduction_(reduction) {
  for (size_t i = 0; i < modules.size(); ++i) {
    const bool tied_head = modules.id(i).module == Module::head && model.architecture.head == HeadKind::causal_lm && model.architecture.tied_output;
    if (tied_head) fail(Code::unsupported, "A tied output projection is the token embedding; influence cannot take it as a module of its own");
    Linear* linear = linear_of(model_, modules.id(i));
    linear->weight = linear->weight.detach().clone().requires_grad_(true);
    parameters_.push_back(linear->weight);
    transposed_.push_back(linear->transposed);
    if (!linear->bias.defined()) continue;
    linear->bias = linear->bias.detach().clone().requires_grad_(true);
    parameters_.push_back(linear->bias);
    transposed_.push_back(false);
  }
}

at::Tensor Hessian::products(const Batch& batch, const at::Tensor& vectors) const {
  const at::AutoGradMode grad(true);
  Hooks hooks;
  hooks.twice_differentiable = true;
  const at::Tensor loss = instance_losses(model_, forward(model_, batch, hooks), batch, reduction_, hooks).sum();
  const auto first = torch::autograd::grad({loss}, parameters_, {}, true, true);
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < first.size(); ++i) parts.push_back((transposed_[i] ? first[i].t() : first[i]).reshape({-1}));
  const at::Tensor gradient = at::cat(parts);
  std::vector<at::Tensor> rows;
  for (int64_t v = 0; v < vectors.size(0); ++v) {
    const auto second = torch::autograd::grad({(gradient * vectors[v]).sum()}, parameters_, {}, true, false, true);
    std::vector<at::Tensor> row;
    for (size_t i = 0; i < second.size(); ++i) {
      const at::Tensor part = second[i].defined() ? second[i] : at::zeros_like(parameters_[i]);
      row.push_back((transposed_[i] ? part.t() : part).reshape({-1}));
    }
    rows.push_back(at::cat(row).detach());
  }
  return at::stack(rows);
}

}  // namespace attribution
