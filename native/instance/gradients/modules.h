// The parameters that an instance attribution looks at: modules by name, weight and bias together. Linear modules,
// embeddings (lookups in a table) and norms.
#pragma once
#include <string>
#include <vector>

#include "model/batch.h"
#include "model/hooks.h"
#include "model/weights.h"

namespace attribution {

/// How a module uses its weight: as a matrix, as a table of rows, entry by entry.
enum class ModuleKind { linear, lookup, norm };
ModuleKind kind_of(Module module);

class ModuleSelection {
 public:
  /// Refuses names that the architecture does not have, an empty selection, and a tied table under both of its names.
  ModuleSelection(const Architecture& architecture, const std::vector<std::string>& names);

  /// Place of the module in the selection, in stored order, or -1. Where the output projection is tied, a selected
  /// token embedding is found under both of its uses.
  int64_t find(ModuleId id) const;
  /// Whether the output projection or the score head is a module of its own.
  bool has_head() const { return has_head_; }
  /// Whether any selected parameter is used in the head.
  bool taps_head() const { return has_head_ || tied_table_ >= 0; }
  size_t size() const { return ids_.size(); }
  ModuleId id(size_t place) const { return ids_[place]; }
  /// Whether the module is a token embedding that is the output projection too: its gradient is the sum of both uses.
  bool is_tied_table(size_t place) const { return tied_table_ == static_cast<int64_t>(place); }

 private:
  std::vector<ModuleId> ids_;
  bool has_head_ = false;
  int64_t tied_table_ = -1;
};

/// Names of all modules in stored order: the embeddings first, block by block, the head last.
std::vector<std::string> module_names(const Architecture& architecture);
/// Refuses a selection of other than linear modules, naming the first.
void require_linear(const Architecture& architecture, const ModuleSelection& modules, const char* method);

/// A module's parameters in a model's weights. A tied head is the token embedding.
struct ParameterPlaces {
  at::Tensor* weight;  // linear: [output, input], or transposed; a table: [row, feature]; a norm: [feature]
  at::Tensor* bias;    // null where the kind has none; undefined where the module has none
  bool transposed = false;

  bool has_bias() const { return bias && bias->defined(); }
};
ParameterPlaces places_of(Model& model, ModuleId id);
/// The same by value; a table and a norm are stored as a linear module is.
Linear parameters_of(const Model& model, ModuleId id);

/// Of each token that the module sees, its instance's place in the batch, [token]. The head sees the readout rows, or a
/// causal LM's target tokens.
at::Tensor module_instance(const Architecture& architecture, const Batch& batch, ModuleId id);

}  // namespace attribution
