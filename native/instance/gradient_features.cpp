#include "instance/gradient_features.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "model/linear.h"
#include "model/transformer.h"

namespace attribution {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Receives a module's output gradients as the backward passes it.
struct Sink {
  virtual ~Sink() = default;
  virtual void take(const at::Tensor& gradients) = 0;
};

/// A frozen linear module that shows its output gradient to a sink. `anchor` makes the backward come here where no input needs it.
struct TappedLinear : torch::autograd::Function<TappedLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor&, const Linear& linear, Sink* sink) {
    context->saved_data["sink"] = reinterpret_cast<int64_t>(sink);
    const at::Tensor matrix = linear.matrix();
    context->save_for_backward({matrix});
    return product(input, matrix, linear.bias);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor matrix = context->get_saved_variables()[0];
    reinterpret_cast<Sink*>(context->saved_data["sink"].toInt())->take(gradients[0]);
    at::Tensor input;
    if (context->needs_input_grad(0)) input = product(gradients[0], matrix.t());
    return {input, {}, {}, {}};
  }
};

at::Tensor with_ones(const at::Tensor& x) { return at::cat({x, at::ones({x.size(0), 1}, x.options())}, 1); }

/// Σ_t g_t a_tᵀ of each instance, [instance, g, a], of tokens whose instances rise. Short sides only, so padding costs little.
at::Tensor outer_sums(const at::Tensor& g, const at::Tensor& a, const at::Tensor& instance, int64_t instances) {
  const at::Tensor counts = at::zeros({instances}, instance.options()).index_add(0, instance, at::ones_like(instance));
  const int64_t longest = counts.max().item<int64_t>();
  if (longest * instances == g.size(0)) {
    return at::bmm(g.view({instances, longest, g.size(1)}).transpose(1, 2), a.view({instances, longest, a.size(1)}));
  }
  const at::Tensor starts = counts.cumsum(0) - counts;
  const at::Tensor place = instance * longest + at::arange(g.size(0), instance.options()) - starts.index_select(0, instance);
  auto padded = [&](const at::Tensor& x) {
    return at::zeros({instances * longest, x.size(1)}, x.options()).index_copy_(0, place, x).view({instances, longest, x.size(1)});
  };
  return at::bmm(padded(g).transpose(1, 2), padded(a));
}

struct FeatureSink : Sink {
  at::Tensor output_projection;  // or undefined
  at::Tensor inputs;             // [token, rank] projected
  at::Tensor instance;           // [token]
  int64_t instances = 0;
  at::Tensor result;  // [instance, feature], a view into the features

  void take(const at::Tensor& gradients) override {
    const at::NoGradGuard no_grad;
    const at::Tensor g = output_projection.defined() ? product(gradients, output_projection) : gradients;
    const auto high = g.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    result.copy_(outer_sums(g.to(high), inputs.to(high), instance, instances).reshape({instances, -1}));
  }
};

/// The tokens that reach the head: readout rows, or a causal LM's targets.
at::Tensor module_instance(const Architecture& a, const Batch& batch, bool head) {
  if (!head) return batch.token_instance;
  if (a.head != HeadKind::causal_lm) return batch.token_instance.index_select(0, batch.readout);
  return batch.token_instance.index_select(0, batch.targets.ne(no_target).nonzero().squeeze(1));
}

}  // namespace

FeatureExtractor::FeatureExtractor(const Model& model, const FeatureSettings& s) : modules_(model.architecture, s.modules), reduction_(s.reduction) {
  Model view = model;
  for (size_t i = 0; i < modules_.size(); ++i) {
    const ModuleId id = modules_.id(i);
    const Linear linear = id.module == Module::head ? head_linear(model) : *linear_of(view, id);
    const at::Tensor matrix = linear.matrix();
    Side side;
    side.bias = linear.bias.defined();
    const int64_t input = matrix.size(1) + (side.bias ? 1 : 0), output = matrix.size(0);
    const std::string name = module_name(model.architecture, id);
    if (s.rank > 0 && s.rank < input) side.input = projection_matrix(s.projection, s.rank, input, s.seed, name + ".input").to(model.options());
    if (s.rank > 0 && s.rank < output) side.output = projection_matrix(s.projection, s.rank, output, s.seed, name + ".output").to(model.options());
    offsets_.push_back(width_);
    width_ += (side.input.defined() ? s.rank : input) * (side.output.defined() ? s.rank : output);
    sides_.push_back(std::move(side));
  }
  offsets_.push_back(width_);
}

InstanceFeatures FeatureExtractor::features(const Model& model, const Batch& batch) const {
  const auto high = model.dtype == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor result = at::zeros({batch.size(), width_}, at::TensorOptions().dtype(high).device(model.device));
  std::vector<FeatureSink> sinks(modules_.size());
  const at::Tensor anchor = at::zeros({}, model.options()).requires_grad_(true);
  Hooks hooks;
  hooks.taps_head = modules_.has_head();
  hooks.linear = [&](ModuleId id, const Linear& linear, const at::Tensor& input) {
    const int64_t place = modules_.find(id);
    if (place < 0) return apply(linear, input);
    const Side& side = sides_[static_cast<size_t>(place)];
    FeatureSink& sink = sinks[static_cast<size_t>(place)];
    {
      const at::NoGradGuard no_grad;
      const at::Tensor seen = input.detach();
      // P [x; 1] = P_x x + p: the appended 1 is a bias of the projection.
      if (side.input.defined()) {
        sink.inputs = side.bias ? product(seen, side.input.narrow(1, 0, seen.size(1)).contiguous(), side.input.select(1, seen.size(1)).contiguous()) : product(seen, side.input);
      } else {
        sink.inputs = side.bias ? with_ones(seen) : seen;
      }
      sink.output_projection = side.output;
      sink.instance = module_instance(model.architecture, batch, id.module == Module::head);
      sink.instances = batch.size();
      sink.result = result.narrow(1, offsets_[place], offsets_[place + 1] - offsets_[place]);
    }
    return TappedLinear::apply(input, anchor, linear, &sink);
  };
  const at::AutoGradMode grad(true);
  const at::Tensor losses = instance_losses(model, forward(model, batch, hooks), batch, reduction_, hooks);
  torch::autograd::grad({losses.sum()}, {anchor}, {}, false, false, true);
  return {result, losses.detach()};
}

}  // namespace attribution
