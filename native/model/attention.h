// Self-attention over packed rows, causal or to both sides, as the architecture's data describe it for each layer:
// positions (rotary, ALiBi), windows, soft caps, grouped heads, and the pieces that a cache of keys and values needs.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "model/batch.h"
#include "model/hooks.h"

namespace attribution {

struct QueryKeyValue {
  at::Tensor query;  // [token, head, feature]
  at::Tensor key;    // [token, key-value head, feature]
  at::Tensor value;  // [token, key-value head, feature]
};

/// Cosines and sines of one rotary embedding at each token, [token, size / 2].
struct Rotation {
  at::Tensor cosine, sine;
};
using Rotations = std::vector<Rotation>;

/// What is added to the scores of every layer that has this window.
struct WindowMask {
  int64_t window;
  at::Tensor mask;  // [1 or row, 1 or head, 1 or longest, longest]; undefined where causality alone masks, or nothing
};

/// What the layers of one forward share.
struct PositionTables {
  Rotations rotations;  // of each rotary embedding of the architecture
  std::vector<WindowMask> masks;
};
PositionTables position_tables(const Model& model, const Batch& batch);
/// Cosines and sines of tokens at the given positions [token] in rows of the given lengths [token].
Rotations rotations_at(const Model& model, const at::Tensor& positions, const at::Tensor& lengths);

/// What is added to a layer's scores; undefined where that is the causal mask alone, or nothing.
const at::Tensor& layer_mask(const Architecture& architecture, int64_t layer, const PositionTables& tables);
/// Scores [row, head, query, key] with what a query must not see at minus infinity.
at::Tensor masked_scores(const Architecture& architecture, const at::Tensor& scores, const at::Tensor& mask);

/// Slopes of ALiBi for any number of heads, [head] (Press et al. 2022).
at::Tensor alibi_slopes(int64_t heads);

/// Projects, normalises and rotates. input [token, hidden]
QueryKeyValue project(const Model& model, int64_t layer, const at::Tensor& input, const Rotations& rotations,
                      const Hooks& hooks);

/// Attends within each row; [token, head * feature], the heads' values.
at::Tensor attend(const Model& model, int64_t layer, const QueryKeyValue& qkv, const Batch& batch,
                  const PositionTables& tables, const Hooks& hooks);

/// Runs a linear module through the hooks; `seen` as they take it.
at::Tensor run_linear(const Model& model, ModuleId id, const at::Tensor& input, const Hooks& hooks,
                      const at::Tensor& seen = {});

/// Keys or values of grouped heads, repeated to one per head: [.., key-value head, feature] → [.., head, feature].
at::Tensor repeat_heads(const at::Tensor& x, int64_t heads);

}  // namespace attribution
