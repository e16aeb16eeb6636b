#include "model/weights.h"

namespace attribution {
namespace {

/// Calls f(name, shape, module, is_bias) for each stored tensor.
template <typename F>
void for_weights(const Architecture& architecture, F&& f) {
  for (const ModuleInfo& m : modules_of(architecture)) {
    if (m.owner != m.id) continue;
    f(m.name + ".weight", m.shape, m.id, false);
    if (m.bias) f(m.name + ".bias", std::vector<int64_t>{m.transposed ? m.shape.back() : m.shape.front()}, m.id, true);
  }
}

}  // namespace

Weights::Weights(const Architecture& architecture) : places_(places_of(architecture)), parameters_(places_.count()) {
  for (const ModuleInfo& m : modules_of(architecture)) {
    if (m.owner != m.id) continue;
    (*this)[m.id].transposed = m.transposed;
    (*this)[m.id].scale = m.scale;
  }
}

std::vector<WeightShape> weight_shapes(const Architecture& architecture) {
  std::vector<WeightShape> shapes;
  for_weights(architecture, [&](std::string name, std::vector<int64_t> shape, ModuleId, bool) {
    shapes.push_back({std::move(name), std::move(shape)});
  });
  return shapes;
}

std::vector<NamedWeight> named_weights(const Model& model) {
  std::vector<NamedWeight> weights;
  for_weights(model.architecture, [&](std::string name, std::vector<int64_t> shape, ModuleId id, bool is_bias) {
    const Parameters& p = model.weights[id];
    weights.push_back({{std::move(name), std::move(shape)}, is_bias ? p.bias : p.weight});
  });
  return weights;
}

std::vector<WeightSlot> weight_slots(Model& model) {
  std::vector<WeightSlot> slots;
  for_weights(model.architecture, [&](std::string name, std::vector<int64_t> shape, ModuleId id, bool is_bias) {
    Parameters& p = model.weights[id];
    slots.push_back({{std::move(name), std::move(shape)}, id, is_bias ? &p.bias : &p.weight});
  });
  return slots;
}

Linear head_linear(const Model& model) {
  Linear linear = parameters_of(model, {Module::head, -1});
  if (model.architecture.has_tied_bias()) linear.bias = model.weights[{Module::output_bias, -1}].weight;
  return linear;
}

}  // namespace attribution
