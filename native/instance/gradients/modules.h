// The parameters that an instance attribution looks at: modules by name, weight and bias together.
#pragma once
#include <string>
#include <vector>

#include "model/batch.h"
#include "model/hooks.h"
#include "model/weights.h"

namespace attribution {

class ModuleSelection {
 public:
  /// Refuses names that the architecture does not have, an empty selection, and a tied table under both of its names.
  ModuleSelection(const Architecture& architecture, const std::vector<std::string>& names);

  /// Index of the module in the selection, in stored order, or -1. Where the output projection is tied, a selected
  /// token embedding is found under both of its uses.
  int64_t find(ModuleId id) const;
  /// Whether the output projection or the score head is a module of its own.
  bool has_head() const { return has_head_; }
  /// Whether any selected parameter is used in the head.
  bool taps_head() const { return taps_head_ || tied_table_ >= 0; }
  size_t size() const { return ids_.size(); }
  ModuleId id(size_t index) const { return ids_[index]; }
  /// Whether the module is a token embedding that is the output projection too: its gradient is the sum of both uses.
  bool is_tied_table(size_t index) const { return tied_table_ == static_cast<int64_t>(index); }

 private:
  std::vector<ModuleId> ids_;
  ModulePlaces places_;
  std::vector<int64_t> found_;  // [place] index in `ids_`, or -1
  bool has_head_ = false, taps_head_ = false;
  int64_t tied_table_ = -1;
};

/// Names of all modules in stored order: the embeddings first, block by block, the head last.
std::vector<std::string> module_names(const Architecture& architecture);
/// Refuses a selection of other than linear modules, naming the first.
void require_linear(const Architecture& architecture, const ModuleSelection& modules, const char* method);

/// The instance of each token that the module sees, as its index in the batch, [token]. The head sees the readout rows,
/// or a causal LM's target tokens; an expert's module the tokens `seen`.
at::Tensor module_instance(const Architecture& architecture, const Batch& batch, ModuleId id, const at::Tensor& seen);

}  // namespace attribution
