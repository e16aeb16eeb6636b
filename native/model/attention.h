// Causal self-attention over packed rows: positions (rotary, ALiBi), grouped heads, and the pieces a cache of keys and
// values needs.
#pragma once
#include <ATen/ATen.h>

#include "model/batch.h"
#include "model/hooks.h"

namespace attribution {

struct QueryKeyValue {
  at::Tensor query;  // [token, head, feature]
  at::Tensor key;    // [token, key-value head, feature]
  at::Tensor value;  // [token, key-value head, feature]
};

/// What every layer of one forward shares.
struct PositionTables {
  at::Tensor cosine, sine;  // [token, rotary / 2], rotary only
  at::Tensor mask;          // [1, head, longest, longest], ALiBi (with the causal mask) only
};
PositionTables position_tables(const Model& model, const Batch& batch);
/// Cosines and sines of the given positions.
PositionTables rotary_tables(const Model& model, const at::Tensor& positions);

/// Slopes of ALiBi for any number of heads, [head] (Press et al. 2022).
at::Tensor alibi_slopes(int64_t heads);

/// Projects and rotates. input [token, hidden]
QueryKeyValue project(const Model& model, int64_t layer, const at::Tensor& input, const PositionTables& tables,
                      const Hooks& hooks);

/// Attends within each row; [token, head * feature], the heads' values.
at::Tensor attend(const Model& model, const QueryKeyValue& qkv, const Batch& batch, const PositionTables& tables,
                  const Hooks& hooks);

/// Runs a linear module through the hooks.
at::Tensor run_linear(const Model& model, ModuleId id, const at::Tensor& input, const Hooks& hooks);

/// Keys or values of grouped heads, repeated to one per head: [.., key-value head, feature] → [.., head, feature].
at::Tensor repeat_heads(const at::Tensor& x, int64_t heads);

}  // namespace attribution
