// The one registry of a decoder's modules: which modules an architecture has, and of each its name, kind, shape, bias
// and the module whose stored tensors it uses. Names of weights, loading, saving, hashing, the selection of parameters
// and gradients all follow from it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.h"

namespace attribution {

/// A module with parameters. The order is that of the registry's rows.
enum class Module {
  token_embedding,
  position_embedding,
  embedding_norm,
  project_in,
  attention_norm,
  qkv,
  query,
  key,
  value,
  query_norm,
  key_norm,
  attention_output,
  attention_output_norm,
  mlp_norm,
  gate,
  gate_up,
  up,
  down,
  mlp_output_norm,
  final_norm,
  project_out,
  head
};
inline constexpr size_t module_count = static_cast<size_t>(Module::head) + 1;

/// How a module uses its weight: as a matrix, as a table of rows, entry by entry.
enum class ModuleKind { linear, lookup, norm };

/// Which module, and in which layer (-1 outside the blocks).
struct ModuleId {
  Module module;
  int64_t layer;

  bool operator==(const ModuleId&) const = default;
};

struct ModuleInfo {
  ModuleId id;
  ModuleKind kind;
  std::string name;            // "layers.3.mlp.down"
  ModuleId owner;              // whose tensors it uses: its own, or the token embedding's where the output is tied
  std::vector<int64_t> shape;  // of the weight as stored
  bool bias = false;
  bool transposed = false;  // a linear weight stored [input, output] (GPT-2's Conv1D)
};

/// All modules in stored order: the embeddings first, block by block, the head last.
std::vector<ModuleInfo> modules_of(const Architecture& architecture);

ModuleKind kind_of(Module module);
/// A module's name, e.g. "layers.3.mlp.down".
std::string module_name(const Architecture& architecture, ModuleId id);
/// The name of the module that makes the logits: "output" or "score".
std::string head_name(const Architecture& architecture);
/// The module whose stored tensors `id` uses.
ModuleId owner_of(const Architecture& architecture, ModuleId id);
/// Whether the output projection is the token embedding.
bool has_tied_head(const Architecture& architecture);

}  // namespace attribution
