#include "instance/gradients/modules.h"

#include <algorithm>
#include <set>

#include "core/error.h"

namespace attribution {
namespace {

bool is_tied(const Architecture& a) { return a.head == HeadKind::causal_lm && a.tied_output; }

/// A block's modules in stored order.
std::vector<Module> block_modules(const Architecture& a) {
  std::vector<Module> modules{Module::attention_norm};
  if (a.qkv == QkvLayout::separate) {
    modules.insert(modules.end(), {Module::query, Module::key, Module::value});
  } else {
    modules.push_back(Module::qkv);
  }
  if (a.query_key_norm) modules.insert(modules.end(), {Module::query_norm, Module::key_norm});
  modules.insert(modules.end(), {Module::attention_output, Module::mlp_norm});
  if (a.gated) modules.push_back(Module::gate);
  modules.insert(modules.end(), {Module::up, Module::down});
  return modules;
}

std::vector<ModuleId> all_modules(const Architecture& a) {
  const bool projected = a.embedding_size != a.hidden;
  std::vector<ModuleId> ids{{Module::token_embedding, -1}};
  if (a.position == PositionKind::learned) ids.push_back({Module::position_embedding, -1});
  if (a.embedding_norm) ids.push_back({Module::embedding_norm, -1});
  if (projected) ids.push_back({Module::project_in, -1});
  for (int64_t layer = 0; layer < a.layers; ++layer) {
    for (const Module module : block_modules(a)) ids.push_back({module, layer});
  }
  if (a.final_norm) ids.push_back({Module::final_norm, -1});
  if (projected) ids.push_back({Module::project_out, -1});
  ids.push_back({Module::head, -1});
  return ids;
}

ParameterPlaces place(Linear& linear) { return {&linear.weight, &linear.bias, linear.transposed}; }
ParameterPlaces place(Norm& norm) { return {&norm.weight, &norm.bias}; }

}  // namespace

ModuleKind kind_of(Module module) {
  switch (module) {
    case Module::token_embedding:
    case Module::position_embedding:
      return ModuleKind::lookup;
    case Module::embedding_norm:
    case Module::attention_norm:
    case Module::query_norm:
    case Module::key_norm:
    case Module::mlp_norm:
    case Module::final_norm:
      return ModuleKind::norm;
    default:
      return ModuleKind::linear;
  }
}

std::vector<std::string> module_names(const Architecture& a) {
  std::vector<std::string> names;
  for (const ModuleId id : all_modules(a)) names.push_back(module_name(a, id));
  return names;
}

ModuleSelection::ModuleSelection(const Architecture& a, const std::vector<std::string>& names) {
  std::set<std::string> wanted(names.begin(), names.end());
  for (const ModuleId id : all_modules(a)) {
    if (wanted.erase(module_name(a, id)) == 0) continue;
    if (id.module == Module::token_embedding && is_tied(a)) tied_table_ = static_cast<int64_t>(ids_.size());
    has_head_ = has_head_ || id.module == Module::head;
    ids_.push_back(id);
  }
  if (!wanted.empty()) fail(Code::unknown, "The model has no module \"", *wanted.begin(), "\"");
  if (ids_.empty()) fail(Code::invalid, "Expected \"parameters\" to select at least one module");
  if (has_head_ && tied_table_ >= 0)
    fail(Code::invalid,
         "The output projection is tied to the token embedding: select one of them (the embedding's gradient is of "
         "both uses)");
}

int64_t ModuleSelection::find(ModuleId id) const {
  if (id.module == Module::head && tied_table_ >= 0) return tied_table_;
  for (size_t i = 0; i < ids_.size(); ++i) {
    if (ids_[i].module == id.module && ids_[i].layer == id.layer) return static_cast<int64_t>(i);
  }
  return -1;
}

void require_linear(const Architecture& a, const ModuleSelection& modules, const char* method) {
  for (size_t i = 0; i < modules.size(); ++i) {
    const ModuleKind kind = kind_of(modules.id(i).module);
    if (kind == ModuleKind::linear) continue;
    fail(Code::unsupported, method, " treats linear modules only, but \"", module_name(a, modules.id(i)), "\" is ",
         kind == ModuleKind::norm ? "a norm" : "an embedding", ": leave it out of \"parameters\"");
  }
}

ParameterPlaces places_of(Model& model, ModuleId id) {
  Weights& w = model.weights;
  switch (id.module) {
    case Module::token_embedding:
      return {&w.token_embedding, nullptr};
    case Module::position_embedding:
      return {&w.position_embedding, nullptr};
    case Module::embedding_norm:
      return place(w.embedding_norm);
    case Module::project_in:
      return place(w.project_in);
    case Module::final_norm:
      return place(w.final_norm);
    case Module::project_out:
      return place(w.project_out);
    case Module::head:
      if (is_tied(model.architecture)) return {&w.token_embedding, nullptr};
      return place(model.architecture.head == HeadKind::causal_lm ? w.output : w.score);
    default:
      break;
  }
  Layer& l = w.layers[static_cast<size_t>(id.layer)];
  switch (id.module) {
    case Module::attention_norm:
      return place(l.attention_norm);
    case Module::qkv:
      return place(l.qkv);
    case Module::query:
      return place(l.query);
    case Module::key:
      return place(l.key);
    case Module::value:
      return place(l.value);
    case Module::query_norm:
      return place(l.query_norm);
    case Module::key_norm:
      return place(l.key_norm);
    case Module::attention_output:
      return place(l.attention_output);
    case Module::mlp_norm:
      return place(l.mlp_norm);
    case Module::gate:
      return place(l.gate);
    case Module::up:
      return place(l.up);
    default:
      return place(l.down);
  }
}

Linear parameters_of(const Model& model, ModuleId id) {
  Model view = model;
  const ParameterPlaces places = places_of(view, id);
  return {*places.weight, places.bias ? *places.bias : at::Tensor(), places.transposed};
}

at::Tensor module_instance(const Architecture& a, const Batch& batch, ModuleId id) {
  if (id.module != Module::head) return batch.token_instance;
  if (a.head != HeadKind::causal_lm) return batch.token_instance.index_select(0, batch.readout);
  return batch.token_instance.index_select(0, batch.targets.ne(no_target).nonzero().squeeze(1));
}

}  // namespace attribution
