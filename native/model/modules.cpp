#include "model/modules.h"

namespace attribution {
namespace {

using A = const Architecture&;
using Sizes = std::vector<int64_t>;
using enum ModuleKind;

enum class Room { before, block, after };

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
Sizes wider(A a) { return {a.intermediate, a.hidden}; }

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
    {Module::gate, linear, Room::block, "mlp.gate", [](A a) { return a.gated && !a.fused_gate; }, wider, mlp_bias},
    {Module::gate_up, linear, Room::block, "mlp.gateUp", [](A a) { return a.fused_gate; },
     [](A a) -> Sizes {
       return {2 * a.intermediate, a.hidden};
     },
     mlp_bias},
    {Module::up, linear, Room::block, "mlp.up", [](A a) { return !a.fused_gate; }, wider, mlp_bias},
    {Module::down, linear, Room::block, "mlp.down", always,
     [](A a) -> Sizes {
       return {a.hidden, a.intermediate};
     },
     mlp_bias},
    {Module::mlp_output_norm, norm, Room::block, "mlpOutputNorm", has_output_norm, hidden, norm_bias},
    {Module::final_norm, norm, Room::after, "finalNorm", [](A a) { return a.final_norm && has_norms(a); }, hidden,
     norm_bias},
    {Module::project_out, linear, Room::after, "embedding.projectOut", projected,
     [](A a) -> Sizes {
       return {a.embedding_size, a.hidden};
     },
     never},
    {Module::head, linear, Room::after, "output", [](A a) { return a.head == HeadKind::causal_lm; },
     [](A a) -> Sizes {
       return {a.vocabulary, a.embedding_size};
     },
     [](A a) { return a.output_bias && !a.tied_output; }},
    {Module::head, linear, Room::after, "score", [](A a) { return a.head != HeadKind::causal_lm; },
     [](A a) -> Sizes {
       return {a.head == HeadKind::choice ? 1 : a.labels, a.embedding_size};
     },
     never},
};

const Row& row_of(A a, Module module) {
  const Row* row = &rows[static_cast<size_t>(module)];
  return row->present(a) || module != Module::head ? *row : *(row + 1);
}

std::string full_name(const Row& row, int64_t layer) {
  return layer < 0 ? row.name : "layers." + std::to_string(layer) + "." + row.name;
}

void add(std::vector<ModuleInfo>& modules, A a, Room room, int64_t layer) {
  for (const Row& row : rows) {
    if (row.room != room || !row.present(a)) continue;
    const ModuleId id{row.module, layer};
    ModuleInfo info{id, row.kind, full_name(row, layer), owner_of(a, id), row.shape(a), row.bias(a), false};
    info.transposed = row.kind == linear && room == Room::block && a.transposed_linears;
    if (info.transposed) std::swap(info.shape[0], info.shape[1]);
    modules.push_back(std::move(info));
  }
}

}  // namespace

std::vector<ModuleInfo> modules_of(A a) {
  std::vector<ModuleInfo> modules;
  add(modules, a, Room::before, -1);
  for (int64_t layer = 0; layer < a.layers; ++layer) add(modules, a, Room::block, layer);
  add(modules, a, Room::after, -1);
  return modules;
}

ModuleKind kind_of(Module module) { return rows[static_cast<size_t>(module)].kind; }

std::string module_name(A a, ModuleId id) { return full_name(row_of(a, id.module), id.layer); }

std::string head_name(A a) { return row_of(a, Module::head).name; }

bool has_tied_head(A a) { return a.head == HeadKind::causal_lm && a.tied_output; }

ModuleId owner_of(A a, ModuleId id) {
  return id.module == Module::head && has_tied_head(a) ? ModuleId{Module::token_embedding, -1} : id;
}

}  // namespace attribution
