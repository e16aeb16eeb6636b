#include "instance/gradients/factors.h"

#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "instance/gradients/module_products.h"
#include "model/linear.h"
#include "model/norm.h"
#include "model/transformer.h"

namespace attribution {
namespace {

/// A module's output as the forward passed it, and what its gradient needs besides the output's.
struct Tap {
  size_t place = 0;
  ModuleFactors factors;
  at::Tensor output;
  at::Tensor normalised;  // norm only
};

}  // namespace

Factors gradient_factors(const Model& model, const Batch& batch, const ModuleSelection& modules, Reduction reduction) {
  return factors_of(model, batch, modules, [&](const at::Tensor& hidden, const Hooks& hooks) {
    return instance_losses(model, hidden, batch, reduction, hooks).sum();
  });
}

Factors factors_of(const Model& model, const Batch& batch, const ModuleSelection& modules, const Objective& objective,
                   const Watch& watch) {
  std::vector<Tap> taps;
  auto tap = [&](int64_t place, ModuleId id, at::Tensor output, at::Tensor inputs,
                 const at::Tensor& seen = {}) -> Tap& {
    if (!output.requires_grad()) output.requires_grad_(true);  // the lowest module: the backward ends here
    Tap& made = taps.emplace_back();
    made.place = static_cast<size_t>(place);
    made.output = output;
    made.factors.kind = kind_of(id.module);
    made.factors.inputs = inputs;
    made.factors.instance = watch.head_instance && is_head(id.module)
                                ? watch.head_instance()
                                : module_instance(model.architecture, batch, id, seen);
    made.factors.tokens = seen;
    return made;
  };
  Hooks hooks;
  hooks.taps_head = modules.taps_head();
  hooks.linear = [&](ModuleId id, const Linear& linear, const at::Tensor& input, const at::Tensor& seen) {
    const at::Tensor output = apply(linear, input);
    const int64_t place = modules.find(id);
    if (place >= 0) tap(place, id, output, input.detach(), seen).factors.bias = linear.bias.defined();
    return output;
  };
  hooks.lookup = [&](ModuleId id, const at::Tensor& table, const at::Tensor& rows) {
    const at::Tensor output = at::embedding(table, rows);
    const int64_t place = modules.find(id);
    if (place >= 0) tap(place, id, output, rows).factors.rows = table.size(0);
    return output;
  };
  hooks.norm = [&](ModuleId id, const Norm&, const at::Tensor& input) {
    const at::Tensor output = apply(model, id, input);
    const int64_t place = modules.find(id);
    if (place >= 0) tap(place, id, output, {}).normalised = normalised(model.architecture, id, input.detach());
    return output;
  };
  if (watch.attach) watch.attach(hooks);
  const at::AutoGradMode grad(true);
  const at::Tensor loss = objective(forward(model, batch, hooks), hooks);
  std::vector<at::Tensor> outputs;
  for (const Tap& t : taps) outputs.push_back(t.output);
  const auto gradients = loss.requires_grad()  // a quantity may lie below all selected modules
                             ? torch::autograd::grad({loss}, outputs, {}, false, false, true)
                             : std::vector<at::Tensor>(outputs.size());
  Factors factors{std::vector<ModuleFactors>(modules.size()), batch.size()};
  for (size_t i = 0; i < taps.size(); ++i) {
    Tap& t = taps[i];
    const at::Tensor gradient = gradients[i].defined() ? gradients[i] : at::zeros_like(t.output);
    t.factors.gradients =
        t.factors.kind == ModuleKind::norm
            ? norm_parts(gradient, t.normalised, parameters_of(model, modules.id(t.place)).bias.defined())
            : gradient;
    const bool second =
        modules.is_tied_table(t.place) && t.factors.kind == ModuleKind::linear;  // the head comes after the embedding
    if (second) {
      factors.modules[t.place].head = std::make_shared<ModuleFactors>(t.factors);
    } else {
      factors.modules[t.place] = t.factors;
    }
  }
  return factors;
}

int64_t factor_bytes(const Model& model, const ModuleSelection& modules) {
  const Architecture& a = model.architecture;
  int64_t width = 0, places = 0;
  std::map<std::pair<int64_t, Module>, int64_t> experts;  // selected ones of a layer; a token sees only some
  for (size_t i = 0; i < modules.size(); ++i) {
    const ModuleId id = modules.id(i);
    const Parameters& p = parameters_of(model, id);
    const ModuleKind kind = kind_of(id.module);
    if (id.expert >= 0 && ++experts[{id.layer, id.module}] > a.mixture.chosen) continue;
    const int64_t heads = a.query_key_norm != QueryKeyNorm::head ? 1
                          : id.module == Module::query_norm      ? a.heads
                          : id.module == Module::key_norm        ? a.key_value_heads
                                                                 : 1;
    if (kind == ModuleKind::norm)
      width += (p.bias.defined() ? 4 : 3) * heads * p.weight.numel();  // normalised values, gradients and parts
    if (kind == ModuleKind::linear || modules.is_tied_table(i)) width += p.weight.size(0) + p.weight.size(1);
    if (kind == ModuleKind::lookup) {
      width += p.weight.size(1);
      places += 1;
    }
  }
  return width * static_cast<int64_t>(at::elementSize(model.dtype)) + places * static_cast<int64_t>(sizeof(int64_t));
}

at::Tensor pair_products(const Factors& left, const Factors& right) {
  at::Tensor total;
  for (size_t i = 0; i < left.modules.size(); ++i) {
    const at::Tensor pairs = pair_products(left.modules[i], right.modules[i], left.instances, right.instances);
    total = total.defined() ? total + pairs : pairs;
  }
  return total;
}

at::Tensor squared_norms(const Factors& factors) {
  at::Tensor total;
  for (const ModuleFactors& m : factors.modules) {
    const at::Tensor norms = squared_norms(m, factors.instances);
    total = total.defined() ? total + norms : norms;
  }
  return total;
}

int64_t parameter_width(const Model& model, const ModuleSelection& modules) {
  int64_t width = 0;
  for (size_t i = 0; i < modules.size(); ++i) {
    const Parameters& p = parameters_of(model, modules.id(i));
    width += p.weight.numel() + (p.bias.defined() ? p.bias.numel() : 0);
  }
  return width;
}

at::Tensor dense_gradients(const Factors& factors) {
  std::vector<at::Tensor> parts;
  for (const ModuleFactors& m : factors.modules) {
    for (const at::Tensor& part : dense_gradients(m, factors.instances)) parts.push_back(part);
  }
  return at::cat(parts, 1);
}

at::Tensor vector_products(const at::Tensor& vectors, const Factors& factors) {
  at::Tensor total = at::zeros({vectors.size(0), factors.instances}, vectors.options());
  int64_t place = 0;
  for (const ModuleFactors& m : factors.modules) {
    const int64_t width = gradient_width(m);
    add_vector_products(total, vectors.narrow(1, place, width), m, factors.instances);
    place += width;
  }
  return total;
}

}  // namespace attribution
