#include "neuron/rule_forward.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "core/error.h"
#include "model/linear.h"
#include "model/norm.h"
#include "model/transformer.h"

namespace attribution {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The same values; the gradient times `share`.
at::Tensor share_of_gradient(const at::Tensor& x, double share) { return x * share + x.detach() * (1 - share); }

/// softmax(x) whose backward is that of twice the temperature: with s = softmax(x / 2), s ⊙ (g − ⟨g, s⟩).
struct WarmSoftmax : torch::autograd::Function<WarmSoftmax> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& scores) {
    context->save_for_backward({at::softmax(scores / 2, -1)});
    return at::softmax(scores, -1);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor s = context->get_saved_variables()[0];
    return {s * (gradients[0] - (gradients[0] * s).sum(-1, true))};
  }
};

/// The same values; the gradient times a factor that is read at the backward.
struct Gate : torch::autograd::Function<Gate> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& factor) {
    context->saved_data["factor"] = factor;
    return x.view_as(x);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {gradients[0] * context->saved_data["factor"].toTensor(), at::Tensor()};
  }
};

/// A norm whose scale is a constant of the backward; LayerNorm's mean is differentiated in relp, a constant in gim.
at::Tensor norm_with_constant_scale(const Model& model, const Norm& norm, const at::Tensor& x, BackwardRule rule) {
  const at::Tensor plain = apply(model.architecture, norm, x);
  const Architecture& a = model.architecture;
  const bool has_mean = a.norm == NormKind::layer;
  const at::Tensor mean = x.mean(-1, true);
  const at::Tensor centred = !has_mean ? x : rule == BackwardRule::gim ? x - mean.detach() : x - mean;
  at::Tensor scale = (centred.detach().square().mean(-1, true) + a.norm_epsilon).rsqrt();
  if (norm.weight.defined()) scale = scale * (a.norm_weight == NormWeight::offset ? norm.weight + 1 : norm.weight);
  const at::Tensor linear = centred * scale.detach();
  return plain.detach() + linear - linear.detach();
}

/// f(x) with the slope f(x) / x; at 0 that of its limit, f'(0).
at::Tensor activation_by_ratio(const Architecture& a, const at::Tensor& x) {
  const at::Tensor value = activate(a, x).detach();
  const bool is_rectified = a.activation == Activation::relu || a.activation == Activation::squared_relu;
  const at::Tensor at_zero = at::full_like(x, is_rectified ? 0.0 : a.activation == Activation::tanh ? 1.0 : 0.5);
  const at::Tensor ratio = at::where(x.eq(0), at_zero, value / at::where(x.eq(0), at::ones_like(x), x)).detach();
  const at::Tensor linear = x * ratio;
  return value + linear - linear.detach();
}

class RuleForward {
 public:
  RuleForward(const Model& model, const Batch& batch, const RuleOptions& options, const RuleTaps& taps,
              const Hooks& hooks)
      : model_(model), a_(model.architecture), batch_(batch), o_(options), taps_(taps), hooks_(hooks) {}

  at::Tensor run() const {
    const PositionTables tables = position_tables(model_, batch_);
    at::Tensor x = embed(model_, batch_, hooks_).detach().requires_grad_(true);
    for (int64_t layer = 0; layer < a_.layers; ++layer) {
      const bool plain = o_.rule == BackwardRule::gradient;
      const at::Tensor input = attention_input(model_, layer, x, hooks_);
      const QueryKeyValue qkv = project(model_, layer, input, tables.rotations, hooks_);
      if (taps_.projections) taps_.projections(layer, qkv);
      const at::Tensor heads =
          plain ? attend(model_, layer, qkv, batch_, tables, hooks_) : attention(layer, qkv, tables);
      const at::Tensor mid = after_attention(model_, layer, x, heads, hooks_);
      const MlpSource source{x, mid, input};
      const Neurons values = plain ? neurons(model_, layer, source, hooks_) : Neurons{mlp(layer, source)};
      x = after_mlp(model_, layer, mid, values, hooks_);
    }
    return finish(model_, x, hooks_);
  }

 private:
  bool gim() const { return o_.rule == BackwardRule::gim; }

  /// [token, head, feature] → [row, head, longest, feature]; causality or the mask keeps the padding away.
  at::Tensor rows_of(const at::Tensor& x) const {
    const at::Tensor all = repeat_heads(x, a_.heads);
    const at::Tensor padded = batch_.equal ? all : all.index_select(0, batch_.pad_index);
    return padded.view({batch_.rows(), batch_.longest, all.size(1), all.size(2)}).transpose(1, 2);
  }

  at::Tensor attention(int64_t layer, const QueryKeyValue& qkv, const PositionTables& tables) const {
    auto part = [this](const at::Tensor& x, double share) { return rows_of(gim() ? share_of_gradient(x, share) : x); };
    const at::Tensor q = part(qkv.query, 0.25), k = part(qkv.key, 0.25), v = part(qkv.value, 0.5);
    at::Tensor scores = at::matmul(q, k.transpose(-1, -2)) / a_.layer_attention(layer).divisor;
    if (a_.attention_cap > 0) scores = at::tanh(scores / a_.attention_cap) * a_.attention_cap;
    scores = masked_scores(a_, scores, layer_mask(a_, layer, tables));
    at::Tensor pattern = gim() ? WarmSoftmax::apply(scores) : at::softmax(scores, -1);
    if (o_.detach_attention) pattern = pattern.detach();
    const at::Tensor out =
        at::matmul(pattern, v).transpose(1, 2).reshape({batch_.rows() * batch_.longest, a_.query_width()});
    return batch_.equal ? out : out.index_select(0, batch_.unpad_index);
  }

  at::Tensor mlp(int64_t layer, const MlpSource& source) const {
    const at::Tensor input = mlp_input(model_, layer, source, hooks_);
    auto active = [this](const at::Tensor& pre) { return gim() ? activate(a_, pre) : activation_by_ratio(a_, pre); };
    auto gated = [&](const at::Tensor& gate, const at::Tensor& up) {
      return hooks_.site(Site::neurons, layer, share_of_gradient(active(gate), 0.5) * share_of_gradient(up, 0.5));
    };
    if (a_.fused_gate) {
      const auto parts = run_linear(model_, {Module::gate_up, layer}, input, hooks_).chunk(2, -1);
      return gated(parts[0], parts[1]);
    }
    const at::Tensor up = run_linear(model_, {Module::up, layer}, input, hooks_);
    if (!a_.gated) return hooks_.site(Site::neurons, layer, active(up));
    return gated(run_linear(model_, {Module::gate, layer}, input, hooks_), up);
  }

  const Model& model_;
  const Architecture& a_;
  const Batch& batch_;
  const RuleOptions& o_;
  const RuleTaps& taps_;
  const Hooks& hooks_;
};

}  // namespace

at::Tensor rule_forward(const Model& model, const Batch& batch, const RuleOptions& options, const RuleTaps& taps) {
  Hooks hooks;
  hooks.site = taps.site;
  if (taps.gates.defined()) {
    hooks.linear = [&](ModuleId id, const Linear& linear, const at::Tensor& x, const at::Tensor&) {
      const at::Tensor out = apply(linear, x);
      const bool writes = id.module == Module::attention_output || id.module == Module::down;
      return writes ? Gate::apply(out, taps.gates[id.layer]) : out;
    };
  }
  if (options.rule != BackwardRule::gradient) {
    hooks.norm = [&](ModuleId, const Norm& norm, const at::Tensor& x) {
      return norm_with_constant_scale(model, norm, x, options.rule);
    };
  }
  return RuleForward(model, batch, options, taps, hooks).run();
}

}  // namespace attribution
