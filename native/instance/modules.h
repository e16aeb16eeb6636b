// The parameters that an instance attribution looks at: linear modules by name, weight and bias together.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "model/hooks.h"
#include "model/weights.h"

namespace attribution {

class ModuleSelection {
 public:
  /// Refuses names that the architecture does not have, and an empty selection.
  ModuleSelection(const Architecture& architecture, const std::vector<std::string>& names);

  /// Place of the module in the selection, in the order of the forward, or -1.
  int64_t find(ModuleId id) const;
  bool has_head() const { return has_head_; }
  size_t size() const { return ids_.size(); }
  ModuleId id(size_t place) const { return ids_[place]; }

 private:
  std::vector<ModuleId> ids_;
  bool has_head_ = false;
};

/// Names of all linear modules, block by block, the head last.
std::vector<std::string> linear_module_names(const Architecture& architecture);
/// The module's place in the weights. A tied head shares the token embedding.
Linear* linear_of(Model& model, ModuleId id);

}  // namespace attribution
