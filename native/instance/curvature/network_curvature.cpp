#include "instance/curvature/network_curvature.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "instance/gradients/factors.h"
#include "model/evaluate.h"
#include "model/transformer.h"

namespace attribution {
namespace {

class NetworkCurvature : public Curvature {
 public:
  NetworkCurvature(const Model& model, const Instances& train, const ModuleSelection& modules,
                   const CurvatureOptions& options)
      : model_(model), train_(train), modules_(modules), options_(options), leaves_(model) {
    for (size_t i = 0; i < modules.size(); ++i) {
      Parameters& own = parameters_of(leaves_, modules.id(i));  // a tied table is one leaf with two uses
      own.weight = own.weight.detach().clone().requires_grad_(true);
      parameters_.push_back(own.weight);
      transposed_.push_back(own.transposed);
      if (!own.bias.defined()) continue;
      own.bias = own.bias.detach().clone().requires_grad_(true);
      parameters_.push_back(own.bias);
      transposed_.push_back(false);
    }
  }

  at::Tensor products(const std::vector<int64_t>& instances, const at::Tensor& vectors) const override {
    if (instances.size() > 1 && tokens_of(instances) > options_.batch_tokens) {
      const auto middle = instances.begin() + std::ssize(instances) / 2;
      return products({instances.begin(), middle}, vectors).add_(products({middle, instances.end()}, vectors));
    }
    const at::AutoGradMode grad(true);
    Hooks hooks;
    hooks.twice_differentiable = true;
    const Batch batch = make_batch(train_, instances, model_);
    const at::Tensor loss =
        instance_losses(leaves_, forward(leaves_, batch, hooks), batch, options_.reduction, hooks).sum();
    const auto first = torch::autograd::grad({loss}, parameters_, {}, true, true);
    at::Tensor result = at::empty_like(vectors);
    for (int64_t v = 0; v < vectors.size(0); ++v) {
      const auto second = torch::autograd::grad(first, parameters_, like_parameters(vectors[v]), true, false, true);
      const std::vector<at::Tensor> parts = like_parameters(result[v]);
      for (size_t i = 0; i < parts.size(); ++i) second[i].defined() ? parts[i].copy_(second[i]) : parts[i].zero_();
    }
    return result;
  }

  at::Tensor mean_products(const at::Tensor& vectors, const Control& control) const override {
    at::Tensor sum = at::zeros_like(vectors);
    for (const auto& members : pack(train_, options_.batch_tokens)) {
      control.check();
      sum += products(members, vectors);
    }
    return sum / static_cast<double>(train_.size());
  }

  at::Tensor gradient_products(const at::Tensor& vectors, const Control& control) const override {
    return attribution::gradient_products(model_, train_, modules_, options_, vectors, control);
  }

 private:
  /// Padded, as batches count them.
  int64_t tokens_of(const std::vector<int64_t>& instances) const {
    int64_t rows = 0, longest = 0;
    for (const int64_t i : instances) {
      rows += train_.group_offsets[i + 1] - train_.group_offsets[i];
      longest = std::max<int64_t>(longest, train_.longest_row(i));
    }
    return rows * longest;
  }

  /// Views of a vector [parameter] in the parameters' own shapes.
  std::vector<at::Tensor> like_parameters(const at::Tensor& vector) const {
    std::vector<at::Tensor> parts;
    int64_t place = 0;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const at::Tensor part = vector.narrow(0, place, parameters_[i].numel());
      parts.push_back(transposed_[i] ? part.view({parameters_[i].size(1), parameters_[i].size(0)}).t()
                                     : part.view(parameters_[i].sizes()));
      place += parameters_[i].numel();
    }
    return parts;
  }

  const Model& model_;
  const Instances& train_;
  const ModuleSelection& modules_;
  CurvatureOptions options_;
  Model leaves_;  // shares all weights but the selected ones, which are leaves
  std::vector<at::Tensor> parameters_;
  std::vector<bool> transposed_;
};

}  // namespace

at::Tensor gradient_products(const Model& model, const Instances& instances, const ModuleSelection& modules,
                             const CurvatureOptions& o, const at::Tensor& vectors, const Control& control) {
  at::Tensor result = at::empty({vectors.size(0), instances.size()}, vectors.options());
  for_batches(model, instances, o.batch_tokens, "scoring", control, [&](const Batch& batch) {
    const Factors factors = gradient_factors(model, batch, modules, o.reduction);
    result.index_copy_(1, at::tensor(batch.instances, at::kLong).to(model.device), vector_products(vectors, factors));
  });
  return result;
}

std::unique_ptr<Curvature> network_curvature(const Model& model, const Instances& train, const ModuleSelection& modules,
                                             const CurvatureOptions& options) {
  return std::make_unique<NetworkCurvature>(model, train, modules, options);
}

}  // namespace attribution
