#include "model/modules.h"

#include <map>

namespace attribution {
namespace {

using A = const Architecture&;
using Sizes = std::vector<int64_t>;
using enum ModuleKind;

/// A module of the whole model, of every block, of blocks without or with experts, of each expert.
enum class Room { before, block, dense, sparse, expert, after };

/// One row of the registry.
struct Row {
  Module module;
  ModuleKind kind;
  Room room;
  const char* name;
  bool (*present)(A);
  Sizes (*shape)(A);  // of a linear module [output, input]
  bool (*bias)(A);
};

bool always(A) { return true; }
bool never(A) { return false; }
bool has_norms(A a) { return a.norm_weight != NormWeight::none; }
bool norm_bias(A a) { return a.norm == NormKind::layer && a.norm_bias; }
bool qkv_bias(A a) { return a.qkv_bias; }
bool mlp_bias(A a) { return a.mlp_bias; }
bool projected(A a) { return a.embedding_size != a.hidden; }
bool separate(A a) { return a.qkv == QkvLayout::separate; }
Sizes hidden(A a) { return {a.hidden}; }
bool has_query_key_norm(A a) { return a.query_key_norm != QueryKeyNorm::none; }
bool has_output_norm(A a) { return a.norms_output() && has_norms(a); }
Sizes key_value(A a) { return {a.key_value_width(), a.hidden}; }
Sizes wider(A a) { return {a.dense_width(), a.hidden}; }
Sizes expert_wider(A a) { return {a.mixture.width, a.hidden}; }
Sizes shared_wider(A a) { return {a.mixture.shared, a.hidden}; }
bool has_shared(A a) { return a.mixture.shared > 0; }

/// In the order of `Module`; the head has two names.
const Row rows[] = {
    {Module::token_embedding, lookup, Room::before, "embedding.token", always,
     [](A a) -> Sizes {
       return {a.vocabulary, a.embedding_size};
     },
     never},
    {Module::position_embedding, lookup, Room::before, "embedding.position",
     [](A a) { return a.position == PositionKind::learned; },
     [](A a) -> Sizes {
       return {a.position_offset + a.positions, a.hidden};
     },
     never},
    {Module::type_embedding, lookup, Room::before, "embedding.type", [](A a) { return a.token_types > 0; },
     [](A a) -> Sizes {
       return {a.token_types, a.hidden};
     },
     never},
    {Module::embedding_norm, norm, Room::before, "embedding.norm", [](A a) { return a.embedding_norm && has_norms(a); },
     hidden, norm_bias},
    {Module::project_in, linear, Room::before, "embedding.projectIn", projected,
     [](A a) -> Sizes {
       return {a.hidden, a.embedding_size};
     },
     never},
    {Module::attention_norm, norm, Room::block, "attentionNorm",
     [](A a) { return (a.norms_input() || a.norm_order == NormOrder::post) && has_norms(a); }, hidden, norm_bias},
    {Module::qkv, linear, Room::block, "attention.qkv", [](A a) { return !separate(a); },
     [](A a) -> Sizes {
       return {a.query_width() + 2 * a.key_value_width(), a.hidden};
     },
     qkv_bias},
    {Module::query, linear, Room::block, "attention.query", separate,
     [](A a) -> Sizes {
       return {a.query_width(), a.hidden};
     },
     qkv_bias},
    {Module::key, linear, Room::block, "attention.key", separate, key_value, qkv_bias},
    {Module::value, linear, Room::block, "attention.value", separate, key_value, qkv_bias},
    {Module::query_norm, norm, Room::block, "attention.queryNorm", has_query_key_norm,
     [](A a) -> Sizes { return {a.query_key_norm == QueryKeyNorm::head ? a.head_size : a.query_width()}; }, never},
    {Module::key_norm, norm, Room::block, "attention.keyNorm", has_query_key_norm,
     [](A a) -> Sizes { return {a.query_key_norm == QueryKeyNorm::head ? a.head_size : a.key_value_width()}; }, never},
    {Module::attention_output, linear, Room::block, "attention.output", always,
     [](A a) -> Sizes {
       return {a.hidden, a.query_width()};
     },
     [](A a) { return a.attention_output_bias; }},
    {Module::attention_output_norm, norm, Room::block, "attentionOutputNorm", has_output_norm, hidden, norm_bias},
    {Module::mlp_norm, norm, Room::block, "mlpNorm",
     [](A a) { return (a.norms_input() || a.norm_order == NormOrder::post) && !a.shared_norm && has_norms(a); }, hidden,
     norm_bias},
    {Module::gate, linear, Room::dense, "mlp.gate", [](A a) { return a.gated && !a.fused_gate; }, wider, mlp_bias},
    {Module::gate_up, linear, Room::dense, "mlp.gateUp", [](A a) { return a.fused_gate; },
     [](A a) -> Sizes {
       return {2 * a.dense_width(), a.hidden};
     },
     mlp_bias},
    {Module::up, linear, Room::dense, "mlp.up", [](A a) { return !a.fused_gate; }, wider, mlp_bias},
    {Module::down, linear, Room::dense, "mlp.down", always,
     [](A a) -> Sizes {
       return {a.hidden, a.dense_width()};
     },
     mlp_bias},
    {Module::router, linear, Room::sparse, "mlp.router", always,
     [](A a) -> Sizes {
       return {a.mixture.experts, a.hidden};
     },
     never},
    {Module::expert_gate, linear, Room::expert, "gate", always, expert_wider, never},
    {Module::expert_up, linear, Room::expert, "up", always, expert_wider, never},
    {Module::expert_down, linear, Room::expert, "down", always,
     [](A a) -> Sizes {
       return {a.hidden, a.mixture.width};
     },
     never},
    {Module::shared_gate, linear, Room::sparse, "mlp.shared.gate", has_shared, shared_wider, never},
    {Module::shared_up, linear, Room::sparse, "mlp.shared.up", has_shared, shared_wider, never},
    {Module::shared_down, linear, Room::sparse, "mlp.shared.down", has_shared,
     [](A a) -> Sizes {
       return {a.hidden, a.mixture.shared};
     },
     never},
    {Module::shared_router, linear, Room::sparse, "mlp.shared.router", has_shared,
     [](A a) -> Sizes {
       return {1, a.hidden};
     },
     never},
    {Module::mlp_output_norm, norm, Room::block, "mlpOutputNorm", has_output_norm, hidden, norm_bias},
    {Module::final_norm, norm, Room::after, "finalNorm", [](A a) { return a.final_norm && has_norms(a); }, hidden,
     norm_bias},
    {Module::project_out, linear, Room::after, "embedding.projectOut", projected,
     [](A a) -> Sizes {
       return {a.embedding_size, a.hidden};
     },
     never},
    {Module::head_dense, linear, Room::after, "head.dense", [](A a) { return a.head_transform.has_value(); },
     [](A a) -> Sizes {
       return {a.embedding_size, a.embedding_size};
     },
     [](A a) { return a.head_transform->bias; }},
    {Module::head_norm, norm, Room::after, "head.norm",
     [](A a) { return a.head_transform.has_value() && a.head_transform->norm; },
     [](A a) -> Sizes { return {a.embedding_size}; }, norm_bias},
    {Module::output_bias, norm, Room::after, "outputBias", [](A a) { return a.has_tied_bias(); },
     [](A a) -> Sizes { return {a.vocabulary}; }, never},
    {Module::head, linear, Room::after, "output", [](A a) { return a.predicts_tokens(); },
     [](A a) -> Sizes {
       return {a.vocabulary, a.embedding_size};
     },
     [](A a) { return a.output_bias && !a.tied_output; }},
    {Module::head, linear, Room::after, "score", [](A a) { return !a.predicts_tokens(); },
     [](A a) -> Sizes {
       return {a.head == HeadKind::choice ? 1 : a.labels, a.embedding_size};
     },
     [](A a) { return a.head_bias; }},
};

const Row& row_of(A a, Module module) {
  const Row* row = &rows[static_cast<size_t>(module)];
  return row->present(a) || module != Module::head ? *row : *(row + 1);
}

std::string full_name(const Row& row, ModuleId id) {
  if (id.layer < 0) return row.name;
  const char* part = id.part == Part::own ? "" : id.part == Part::a ? ".loraA" : ".loraB";
  const std::string block = "layers." + std::to_string(id.layer) + ".";
  return id.expert < 0 ? block + row.name + part
                       : block + "mlp.experts." + std::to_string(id.expert) + "." + row.name + part;
}

using Adapters = std::map<std::string, const Adapter*>;

/// A and B of a module's adapter.
void add_adapter(std::vector<ModuleInfo>& modules, const Row& row, const Sizes& shape, ModuleId id,
                 const Adapter& adapter) {
  const auto part = [&](Part which, int64_t output, int64_t input, double scale) {
    const ModuleId own = with_part(id, which);
    modules.push_back({own, linear, full_name(row, own), own, {output, input}, false, false, scale});
  };
  part(Part::a, adapter.rank, shape[1], 1);
  part(Part::b, shape[0], adapter.rank, adapter.scale);
}

/// The table's modules, each with its adapter.
class ModuleList {
 public:
  explicit ModuleList(A a) : a_(a) {
    for (const Adapter& adapter : a.adapters) adapters_[adapter.module] = &adapter;
  }

  void add(Room room) {
    for (const Row& row : rows) {
      if (row.room == room && row.present(a_)) add(row, {row.module, -1});
    }
  }

  void add_block(int64_t layer) {
    const Room mlp = a_.has_experts(layer) ? Room::sparse : Room::dense;
    for (const Row& row : rows) {
      const bool absent = row.module == Module::attention_norm && layer == 0 && !a_.first_attention_norm;
      if ((row.room == Room::block || row.room == mlp) && row.present(a_) && !absent) add(row, {row.module, layer});
      if (row.module == Module::router && mlp == Room::sparse) add_experts(layer);
    }
  }

  std::vector<ModuleInfo> modules;

 private:
  void add(const Row& row, ModuleId id) {
    const Sizes shape = row.shape(a_);
    ModuleInfo info{id, row.kind, full_name(row, id), owner_of(a_, id), shape, row.bias(a_), false, 1};
    info.transposed = row.kind == linear && id.layer >= 0 && a_.transposed_linears;
    if (info.transposed) std::swap(info.shape[0], info.shape[1]);
    const auto adapter = adapters_.find(info.name);
    modules.push_back(std::move(info));
    if (adapter != adapters_.end()) add_adapter(modules, row, shape, id, *adapter->second);
  }

  void add_experts(int64_t layer) {
    for (int64_t expert = 0; expert < a_.mixture.experts; ++expert) {
      for (const Row& row : rows) {
        if (row.room == Room::expert) add(row, {row.module, layer, expert});
      }
    }
  }

  A a_;
  Adapters adapters_;
};

}  // namespace

std::vector<ModuleInfo> modules_of(A a) {
  ModuleList list(a);
  list.add(Room::before);
  for (int64_t layer = 0; layer < a.layers; ++layer) list.add_block(layer);
  list.add(Room::after);
  return std::move(list.modules);
}

ModuleKind kind_of(Module module) { return rows[static_cast<size_t>(module)].kind; }

bool is_head(Module module) {
  return module == Module::head || module == Module::head_dense || module == Module::head_norm ||
         module == Module::output_bias;
}

std::string module_name(A a, ModuleId id) { return full_name(row_of(a, id.module), id); }

std::string head_name(A a) { return row_of(a, Module::head).name; }

bool has_tied_head(A a) { return a.predicts_tokens() && a.tied_output; }

ModuleId owner_of(A a, ModuleId id) {
  return id.module == Module::head && has_tied_head(a) ? ModuleId{Module::token_embedding, -1} : id;
}

NeuronRange neurons_of(A a, ModuleId id) {
  switch (id.module) {
    case Module::gate:
    case Module::gate_up:
    case Module::up:
    case Module::down:
      return {0, a.dense_width()};
    case Module::expert_gate:
    case Module::expert_up:
    case Module::expert_down:
      return {id.expert * a.mixture.width, a.mixture.width};
    case Module::shared_gate:
    case Module::shared_up:
    case Module::shared_down:
      return {a.mixture.experts * a.mixture.width, a.mixture.shared};
    default:
      return {};
  }
}

}  // namespace attribution
