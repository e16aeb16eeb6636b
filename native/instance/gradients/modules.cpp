#include "instance/gradients/modules.h"

#include <algorithm>
#include <set>

#include "core/error.h"

namespace attribution {
std::vector<std::string> module_names(const Architecture& a) {
  std::vector<std::string> names;
  for (const ModuleInfo& module : modules_of(a)) names.push_back(module.name);
  return names;
}

ModuleSelection::ModuleSelection(const Architecture& a, const std::vector<std::string>& names)
    : places_(places_of(a)), found_(places_.count(), -1) {
  std::set<std::string> wanted(names.begin(), names.end());
  for (const ModuleInfo& module : modules_of(a)) {
    if (wanted.erase(module.name) == 0) continue;
    if (module.id.module == Module::token_embedding && has_tied_head(a))
      tied_table_ = static_cast<int64_t>(ids_.size());
    has_head_ = has_head_ || module.id.module == Module::head;
    found_[places_(module.id)] = static_cast<int64_t>(ids_.size());
    taps_head_ = taps_head_ || is_head(module.id.module);
    ids_.push_back(module.id);
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
  return found_[places_(id)];
}

void require_linear(const Architecture& a, const ModuleSelection& modules, const char* method) {
  for (size_t i = 0; i < modules.size(); ++i) {
    const ModuleKind kind = kind_of(modules.id(i).module);
    if (kind == ModuleKind::linear) continue;
    fail(Code::unsupported, method, " treats linear modules only, but \"", module_name(a, modules.id(i)), "\" is ",
         kind == ModuleKind::lookup                    ? "an embedding"
         : modules.id(i).module == Module::output_bias ? "a bias of its own"
                                                       : "a norm",
         ": leave it out of \"parameters\"");
  }
}

at::Tensor module_instance(const Architecture& a, const Batch& batch, ModuleId id, const at::Tensor& seen) {
  if (seen.defined()) return batch.token_instance.index_select(0, seen);
  if (!is_head(id.module)) return batch.token_instance;
  if (!a.predicts_tokens()) return batch.token_instance.index_select(0, batch.readout);
  return batch.token_instance.index_select(0, batch.targets.ne(no_target).nonzero().squeeze(1));
}

}  // namespace attribution
