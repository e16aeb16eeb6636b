// What the forwards of this folder share: how variants enter at their layer, and how the unchanged states are kept.
#pragma once
#include "model/attention.h"
#include "model/prefix/prefix_cache.h"
#include "model/transformer.h"

namespace attribution {

/// [row, variant, feature] as [row * variant, feature], the shape that the block's pieces take.
at::Tensor flat(const at::Tensor& x);
at::Tensor unflat(const at::Tensor& x, int64_t rows);

struct Variants {
  at::Tensor x;  // [row, variant, hidden]

  void join(const at::Tensor& more) { x = x.defined() ? at::cat({x, more}, 1) : more; }
  bool any() const { return x.defined(); }
};

/// One-token attention of the rows' variants to the cached prefix and to themselves; [row * variant, head * feature].
at::Tensor attend_rows(const Model& model, const PrefixCache& cache, int64_t layer, const QueryKeyValue& own);

/// The heads and pre-activations at the readout position, and the heads' projection, are taken as the forward passes
/// them.
Hooks recorder(CachedLayer& layer, const at::Tensor& readout);
/// Keeps the readout's neurons, where they go and what comes out of their projection; the block's output.
at::Tensor recorded_mlp(const Model& model, int64_t index, CachedLayer& layer, const MlpSource& source,
                        const at::Tensor& readout, const Hooks& hooks);
/// The readout position's residual after the attention, of variants that enter at the heads, [row, variant, hidden].
at::Tensor heads_enter(const Model& model, const CachedLayer& cached, const Entry& entry);
/// The block's output there for variants that enter at the neurons already projected.
at::Tensor projected_enter(const Model& model, const CachedLayer& cached, const Entry& entry);

/// Calls `each` for the first entry's layer and those above, with the entries at its heads and at its neurons, if any.
void for_layers(const Model& model, const std::vector<Entry>& entries,
                const std::function<void(int64_t layer, const Entry* heads, const Entry* neurons)>& each);

/// Without causality: the states of all tokens in every layer, and the variants as copies of rows.
PrefixCache build_row_states(const Model& model, const Batch& batch, const std::vector<Entry>& extra);
at::Tensor run_copies(const Model& model, const PrefixCache& cache, const std::vector<Entry>& entries,
                      const RowHook& hook);

}  // namespace attribution
