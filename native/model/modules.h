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
  type_embedding,
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
  router,
  expert_gate,
  expert_up,
  expert_down,
  shared_gate,
  shared_up,
  shared_down,
  shared_router,
  mlp_output_norm,
  final_norm,
  project_out,
  head_dense,
  head_norm,
  output_bias,
  head
};
inline constexpr size_t module_count = static_cast<size_t>(Module::head) + 1;

/// How a module uses its weight: as a matrix, as a table of rows, entry by entry (norms, a tied output's bias).
enum class ModuleKind { linear, lookup, norm };

/// Of a linear module y = W x + scale · B (A x): its own W, or its adapter's A or B.
enum class Part { own, a, b };
inline constexpr size_t part_count = 3;

/// Which module, in which layer (-1 outside the blocks), and of which expert (-1 outside the experts).
struct ModuleId {
  Module module;
  int64_t layer;
  int64_t expert = -1;
  Part part = Part::own;

  bool operator==(const ModuleId&) const = default;
};

inline ModuleId with_part(ModuleId id, Part part) { return {id.module, id.layer, id.expert, part}; }

struct ModuleInfo {
  ModuleId id;
  ModuleKind kind;
  std::string name;            // "layers.3.mlp.down"
  ModuleId owner;              // whose tensors it uses: its own, or the token embedding's where the output is tied
  std::vector<int64_t> shape;  // of the weight as stored
  bool bias = false;
  bool transposed = false;  // a linear weight stored [input, output] (GPT-2's Conv1D)
  double scale = 1;         // of an adapter's B
};

/// All modules in stored order: the embeddings first, block by block, the head last.
std::vector<ModuleInfo> modules_of(const Architecture& architecture);

ModuleKind kind_of(Module module);

/// Finds modules of an architecture in constant time: a place for each, below `count`.
struct ModulePlaces {
  int64_t layers = 0, experts = 0;

  size_t per_layer() const { return module_count + 3 * static_cast<size_t>(experts); }
  size_t count() const { return static_cast<size_t>(layers + 1) * per_layer() * part_count; }
  size_t operator()(ModuleId id) const {
    return (static_cast<size_t>(id.layer + 1) * per_layer() + in_layer(id)) * part_count + static_cast<size_t>(id.part);
  }

 private:
  static size_t in_layer(ModuleId id) {
    const auto module = static_cast<size_t>(id.module);
    if (id.expert < 0) return module;
    return module_count + 3 * static_cast<size_t>(id.expert) + module - static_cast<size_t>(Module::expert_gate);
  }
};
inline ModulePlaces places_of(const Architecture& a) { return {a.layers, a.mixture.experts}; }

/// Neurons among those of a layer.
struct NeuronRange {
  int64_t first = 0, count = 0;
};
/// The neurons that a module of an MLP makes or reads; none of any other module. A layer with experts has each expert's
/// after the other's, and then the shared expert's.
NeuronRange neurons_of(const Architecture& architecture, ModuleId id);
/// Whether a module sees the states that are read out, not all tokens.
bool is_head(Module module);
/// A module's name, e.g. "layers.3.mlp.down".
std::string module_name(const Architecture& architecture, ModuleId id);
/// The name of the module that makes the logits: "output" or "score".
std::string head_name(const Architecture& architecture);
/// The module whose stored tensors `id` uses.
ModuleId owner_of(const Architecture& architecture, ModuleId id);
/// Whether the output projection is the token embedding.
bool has_tied_head(const Architecture& architecture);

}  // namespace attribution
