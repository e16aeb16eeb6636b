#include "instance/modules.h"

#include <algorithm>

#include "storage/error.h"

namespace attribution {
namespace {

std::vector<ModuleId> all_modules(const Architecture& a) {
  std::vector<ModuleId> ids;
  for (int64_t layer = 0; layer < a.layers; ++layer) {
    if (a.qkv == QkvLayout::separate) {
      for (const Module m : {Module::query, Module::key, Module::value}) ids.push_back({m, layer});
    } else {
      ids.push_back({Module::qkv, layer});
    }
    ids.push_back({Module::attention_output, layer});
    if (a.gated) ids.push_back({Module::gate, layer});
    ids.push_back({Module::up, layer});
    ids.push_back({Module::down, layer});
  }
  ids.push_back({Module::head, -1});
  return ids;
}

}  // namespace

std::vector<std::string> linear_module_names(const Architecture& a) {
  std::vector<std::string> names;
  for (const ModuleId id : all_modules(a)) names.push_back(module_name(a, id));
  return names;
}

ModuleSelection::ModuleSelection(const Architecture& a, const std::vector<std::string>& names) {
  std::set<std::string> wanted(names.begin(), names.end());
  for (const ModuleId id : all_modules(a)) {
    if (wanted.erase(module_name(a, id)) == 0) continue;
    ids_.push_back(id);
    has_head_ = has_head_ || id.module == Module::head;
  }
  if (!wanted.empty()) fail(Code::unknown, "The model has no linear module \"", *wanted.begin(), "\"");
  if (ids_.empty()) fail(Code::invalid, "Expected \"parameters\" to select at least one linear module");
}

int64_t ModuleSelection::find(ModuleId id) const {
  for (size_t i = 0; i < ids_.size(); ++i) {
    if (ids_[i].module == id.module && ids_[i].layer == id.layer) return static_cast<int64_t>(i);
  }
  return -1;
}

Linear* linear_of(Model& model, ModuleId id) {
  if (id.module == Module::head) return model.architecture.head == HeadKind::causal_lm ? &model.weights.output : &model.weights.score;
  Layer& l = model.weights.layers[static_cast<size_t>(id.layer)];
  switch (id.module) {
    case Module::qkv: return &l.qkv;
    case Module::query: return &l.query;
    case Module::key: return &l.key;
    case Module::value: return &l.value;
    case Module::attention_output: return &l.attention_output;
    case Module::gate: return &l.gate;
    case Module::up: return &l.up;
    default: return &l.down;
  }
}

}  // namespace attribution
