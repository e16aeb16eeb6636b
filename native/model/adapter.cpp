#include "model/adapter.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "model/weight_reader.h"

namespace attribution {
namespace {

at::Tensor drawn(const WeightSlot& slot, const at::TensorOptions& options, at::Generator& generator) {
  at::Tensor value = at::zeros(slot.shape, options.device(at::kCPU).dtype(at::kFloat));
  if (slot.module.part == Part::a) {
    const double bound = 1 / std::sqrt(static_cast<double>(slot.shape[1]));
    value.uniform_(-bound, bound, generator);
  }
  return value.to(options);
}

std::map<std::string, at::Tensor> by_name(const Model& model) {
  std::map<std::string, at::Tensor> tensors;
  for (const NamedWeight& weight : named_weights(model)) tensors[weight.name] = weight.tensor;
  return tensors;
}

/// The model's weights without those of its adapter, to be changed.
Model without_adapter(const Model& model) {
  Model plain = model;
  plain.architecture.adapters.clear();
  plain.architecture.adapter_saved.clear();
  plain.architecture.adapter_dropout = 0;
  plain.weights = Weights(plain.architecture);
  auto tensors = by_name(model);
  for (const WeightSlot& slot : weight_slots(plain)) *slot.tensor = tensors.at(slot.name);
  return plain;
}

}  // namespace

Model add_adapter(const Model& base, const Architecture& architecture, const std::vector<WeightSource>& sources,
                  int64_t seed, const Control& control) {
  if (!base.architecture.adapters.empty())
    fail(Code::unsupported, "The model has an adapter already: merge it first (loadModel with adapter: \"merge\")");
  validate(architecture);
  Model model = base;
  model.architecture = architecture;
  model.weights = Weights(architecture);
  auto own = by_name(base);
  std::map<std::string, const WeightSource*> by_weight;
  for (const WeightSource& source : sources) by_weight[source.weight] = &source;
  WeightReader reader;
  at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(std::max<int64_t>(0, seed)));
  for (const WeightSlot& slot : weight_slots(model)) {
    control.check();
    const auto source = by_weight.find(slot.name);
    if (source != by_weight.end()) {
      *slot.tensor = reader.read(*source->second, slot, model.dtype).to(model.device);
    } else if (slot.module.part == Part::own) {
      *slot.tensor = own.at(slot.name);
    } else {
      if (seed < 0) fail(Code::missing, "The adapter has no tensor for weight \"", slot.name, "\"");
      *slot.tensor = drawn(slot, model.options(), generator);
    }
  }
  for (const auto& file : reader.files()) model.files.push_back(file);
  return model;
}

Model merged(const Model& model) {
  if (model.architecture.adapters.empty()) return model;
  const at::NoGradGuard no_grad;
  Model plain = without_adapter(model);
  for (const ModuleInfo& m : modules_of(model.architecture)) {
    if (m.id.part != Part::b) continue;
    const Linear& a = model.weights[with_part(m.id, Part::a)];
    const Linear& b = model.weights[m.id];
    Linear& own = plain.weights[{m.id.module, m.id.layer}];
    const auto wide = model.dtype == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor update = at::mm(b.weight.to(wide), a.weight.to(wide)).mul_(b.scale);
    own.weight = own.weight.to(wide).add(own.transposed ? update.t() : update).to(model.dtype);
  }
  return plain;
}

}  // namespace attribution
