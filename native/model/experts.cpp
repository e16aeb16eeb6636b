#include "model/experts.h"

#include <torch/csrc/autograd/custom_function.h>

#include "model/activation.h"
#include "model/attention.h"
#include "model/linear.h"

namespace attribution {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Rows [token, n] as the rows of their visits, [visit, n]. Its gradient is `Collected` of the visits' gradients, and
/// the other way round; both are products and sums of rows, not additions one by one as of `index_select`.
struct Spread : torch::autograd::Function<Spread> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& tokens,
                            const at::Tensor& place) {
    context->save_for_backward({tokens, place});
    context->saved_data["tokens"] = x.size(0);
    return x.index_select(0, tokens);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients);
};

/// Σ over each token's visits of their rows: [visit, n] to [token, n].
struct Collected : torch::autograd::Function<Collected> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& y, const at::Tensor& tokens,
                            const at::Tensor& place, int64_t count) {
    context->save_for_backward({tokens, place});
    return y.index_select(0, place).view({count, -1, y.size(1)}).sum(1);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    return {Spread::apply(gradients[0], saved[0], saved[1]), {}, {}, {}};
  }
};

variable_list Spread::backward(AutogradContext* context, variable_list gradients) {
  const variable_list saved = context->get_saved_variables();
  return {Collected::apply(gradients[0], saved[0], saved[1], context->saved_data["tokens"].toInt()), {}, {}};
}

at::Tensor spread(const at::Tensor& x, const Visits& v) { return Spread::apply(x, v.tokens, v.place); }
at::Tensor collected(const at::Tensor& y, const Visits& v, int64_t tokens) {
  return Collected::apply(y, v.tokens, v.place, tokens);
}

Visits visits_of(const at::Tensor& chosen, int64_t experts) {
  const at::Tensor all = chosen.flatten();
  Visits v;
  v.order = std::get<1>(all.sort(/*stable=*/true, 0, /*descending=*/false));
  v.place = at::empty_like(v.order).index_copy_(0, v.order, at::arange(all.size(0), v.order.options()));
  v.tokens = at::div(v.order, chosen.size(1), "floor");
  const at::Tensor counts = at::bincount(all, {}, experts).to(at::kCPU);
  v.offsets = {0};
  for (int64_t e = 0; e < experts; ++e) v.offsets.push_back(v.offsets.back() + counts[e].item<int64_t>());
  return v;
}

Routing route(const Model& model, int64_t layer, const at::Tensor& input, const Hooks& hooks) {
  const Mixture& m = model.architecture.mixture;
  const at::Tensor shares = at::softmax(wide(run_linear(model, {Module::router, layer}, input, hooks)), -1);
  Routing r;
  r.chosen = std::get<1>(shares.detach().topk(m.chosen, -1));
  if (hooks.experts) r.chosen = hooks.experts(layer, r.chosen);
  at::Tensor weights = shares.gather(1, r.chosen);
  if (m.renormalised) weights = weights / weights.sum(-1, true);
  r.weights = weights.to(input.scalar_type());
  if (m.shared > 0) r.shared = at::sigmoid(run_linear(model, {Module::shared_router, layer}, input, hooks));
  return r;
}

/// Rows of one expert among those of all visits.
at::Tensor own_rows(const at::Tensor& x, const Visits& v, int64_t expert) {
  const auto e = static_cast<size_t>(expert);
  return x.narrow(0, v.offsets[e], v.offsets[e + 1] - v.offsets[e]);
}

/// Weights of the visits, [visit, 1].
at::Tensor visit_weights(const Routing& r, const Visits& v) {
  return r.weights.flatten().index_select(0, v.order).unsqueeze(1);
}

std::vector<at::Tensor> by_expert(const at::Tensor& x, const Visits& v, int64_t experts) {
  std::vector<at::Tensor> parts;
  for (int64_t e = 0; e < experts; ++e) parts.push_back(own_rows(x, v, e));
  return parts;
}

/// All neurons of the experts [token, experts * width] from those of the tokens' choices [token, choice, width].
at::Tensor side_by_side(const Mixture& m, const at::Tensor& values, const at::Tensor& chosen) {
  return at::zeros({values.size(0), m.experts, m.width}, values.options())
      .scatter(1, chosen.unsqueeze(2).expand({-1, -1, m.width}), values)
      .flatten(1);
}

at::Tensor padded(const Architecture& a, const at::Tensor& values) {
  return at::constant_pad_nd(values, {0, a.intermediate - values.size(1)});
}

}  // namespace

Routing Routing::at(const at::Tensor& tokens) const {
  if (!defined()) return {};
  return {chosen.index_select(0, tokens), weights.index_select(0, tokens),
          shared.defined() ? shared.index_select(0, tokens) : at::Tensor()};
}

Neurons expert_neurons(const Model& model, int64_t layer, const at::Tensor& input, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  Neurons n;
  n.routing = route(model, layer, input, hooks);
  n.visits = visits_of(n.routing.chosen, a.mixture.experts);
  const auto gated = [&](ModuleId gate, ModuleId up, const at::Tensor& x, const at::Tensor& seen) {
    return activate(a, run_linear(model, gate, x, hooks, seen)) * run_linear(model, up, x, hooks, seen);
  };
  const at::Tensor rows = spread(input, n.visits);
  for (int64_t e = 0; e < a.mixture.experts; ++e) {
    const at::Tensor own = own_rows(rows, n.visits, e);
    n.experts.push_back(own.size(0) == 0 && !hooks.linear
                            ? at::zeros({0, a.mixture.width}, input.options())
                            : gated({Module::expert_gate, layer, e}, {Module::expert_up, layer, e}, own,
                                    own_rows(n.visits.tokens, n.visits, e)));
  }
  if (a.mixture.shared > 0) n.shared = gated({Module::shared_gate, layer}, {Module::shared_up, layer}, input, {});
  if (!hooks.site) return n;
  return neurons_of_units(a, layer, hooks.site(Site::neurons, layer, unit_values(a, n)), n.routing);
}

at::Tensor project_experts(const Model& model, int64_t layer, const Neurons& n, const Hooks& hooks) {
  std::vector<at::Tensor> parts;
  for (size_t e = 0; e < n.experts.size(); ++e) {
    if (n.experts[e].size(0) == 0 && !hooks.linear) continue;
    const auto expert = static_cast<int64_t>(e);
    parts.push_back(run_linear(model, {Module::expert_down, layer, expert}, n.experts[e], hooks,
                               own_rows(n.visits.tokens, n.visits, expert)));
  }
  const at::Tensor written = at::cat(parts) * visit_weights(n.routing, n.visits);
  const at::Tensor sum = collected(written, n.visits, n.routing.chosen.size(0));
  if (!n.shared.defined()) return sum;
  return sum + n.routing.shared * run_linear(model, {Module::shared_down, layer}, n.shared, hooks);
}

at::Tensor unit_values(const Architecture& a, const Neurons& n, const at::Tensor& tokens) {
  const auto taken = [&tokens](const at::Tensor& x) { return tokens.defined() ? x.index_select(0, tokens) : x; };
  if (!n.routing.defined()) return padded(a, taken(n.values));
  const Mixture& m = a.mixture;
  const at::Tensor place = taken(n.visits.place.view({-1, m.chosen}));
  const at::Tensor own = at::cat(n.experts).index_select(0, place.flatten()).view({-1, m.chosen, m.width});
  const at::Tensor all = side_by_side(m, own, taken(n.routing.chosen));
  return padded(a, n.shared.defined() ? at::cat({all, taken(n.shared)}, 1) : all);
}

Neurons neurons_of_units(const Architecture& a, int64_t layer, const at::Tensor& values, const Routing& routing) {
  if (!a.has_experts(layer)) return {values.narrow(1, 0, a.dense_width())};
  const Mixture& m = a.mixture;
  Neurons n;
  n.routing = routing;
  n.visits = visits_of(routing.chosen, m.experts);
  const int64_t width = m.experts * m.width;
  const at::Tensor own = values.narrow(1, 0, width)
                             .unflatten(1, {m.experts, m.width})
                             .gather(1, routing.chosen.unsqueeze(2).expand({-1, -1, m.width}));
  n.experts = by_expert(own.flatten(0, 1).index_select(0, n.visits.order), n.visits, m.experts);
  if (m.shared > 0) n.shared = values.narrow(1, width, m.shared);
  return n;
}

at::Tensor unit_weights(const Architecture& a, const Routing& r) {
  const Mixture& m = a.mixture;
  const at::Tensor each = r.weights.unsqueeze(2).expand({-1, -1, m.width});
  const at::Tensor all = side_by_side(m, each, r.chosen);
  return padded(a, m.shared > 0 ? at::cat({all, r.shared.expand({-1, m.shared})}, 1) : all);
}

at::Tensor units_of_gradients(const Model& model, int64_t layer, const at::Tensor& gradients, const Routing& routing) {
  const Architecture& a = model.architecture;
  const auto back = [&](ModuleId id, const at::Tensor& g) { return product(g, model.weights[id].matrix().t()); };
  Neurons n;
  n.routing = routing;
  n.visits = visits_of(routing.chosen, a.mixture.experts);
  const at::Tensor rows = spread(gradients, n.visits) * visit_weights(routing, n.visits);
  for (int64_t e = 0; e < a.mixture.experts; ++e) {
    const at::Tensor own = own_rows(rows, n.visits, e);
    n.experts.push_back(own.size(0) == 0 ? at::zeros({0, a.mixture.width}, own.options())
                                         : back({Module::expert_down, layer, e}, own));
  }
  if (a.mixture.shared > 0) n.shared = back({Module::shared_down, layer}, gradients * routing.shared);
  return unit_values(a, n);
}

}  // namespace attribution
