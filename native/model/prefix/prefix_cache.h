// In a causal model, units changed at the readout position leave every earlier position as it was. One forward keeps
// the keys and values of the prefix and the readout position's states in every layer. A changed model is then a
// one-token row that enters at its layer and runs with all the others. Without causality it is a copy of its whole row
// (row_copies.cpp). Shapes: [row, variant, feature], `row` a row of the batch, `variant` a change of it.
#pragma once
#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <vector>

#include "model/batch.h"
#include "model/experts.h"
#include "model/hooks.h"

namespace attribution {

struct CachedLayer {
  // Without causality there are no keys and values, but the states of all tokens of the batch, [token, hidden].
  at::Tensor row_x, row_mid;
  at::Tensor key, value;  // [row, key-value head, longest, feature] as row_attention.h takes them
  size_t bias = 0;        // index of the layer's bias in the cache
  // The readout position's states in the unchanged model, [row, feature].
  at::Tensor x;               // the block's input
  at::Tensor heads;           // input of the attention's output projection
  at::Tensor mid;             // residual after the attention
  at::Tensor pre_activation;  // models without a gate
  at::Tensor neurons;         // all the layer's neurons
  Routing routing;            // of a layer with experts
  // [row, hidden]: what comes out of the projections, bias included.
  at::Tensor projected_heads, projected_neurons;

  const at::Tensor& at(Site site) const {
    return site == Site::heads ? heads : site == Site::neurons ? neurons : pre_activation;
  }
  const at::Tensor& projected(Site site) const { return site == Site::heads ? projected_heads : projected_neurons; }
};

struct PrefixCache {
  std::vector<CachedLayer> layers;
  at::Tensor out;                  // [row, hidden] after the last block
  at::Tensor read;                 // [row, embedding] what the head reads
  at::Tensor positions;            // [row] of the readout token
  std::vector<at::Tensor> biases;  // [row, 1 or head, 1, longest] added to the attention scores; undefined where 0
  at::Tensor extra;                // [row, variant, embedding] what the head reads of the extra variants; or undefined
  // Without causality: the batch whose tokens' states are held, and which of its rows the cache is of.
  std::shared_ptr<const Batch> batch;
  std::vector<int64_t> rows;
  at::Tensor row_out;  // [token, hidden] after the last block
};

/// Variants that take the place of the unchanged states at a site of a layer.
struct Entry {
  Site site;
  int64_t layer;
  at::Tensor values;       // [row, variant, width], or where projected [row, variant, hidden]
  bool projected = false;  // the values went through the site's output projection already
};

/// The forward of the prompts. Extra variants are those whose projected values are known before it, sorted as for
/// `run_entries`; they run as further tokens of the prompts' forward, which costs less than a run of their own. Not
/// differentiable.
PrefixCache build_cache(const Model& model, const Batch& batch, const std::vector<Entry>& extra = {});
/// Bytes that a cache of such a batch takes.
int64_t cache_bytes(const Architecture& architecture, at::ScalarType dtype, int64_t rows, int64_t longest);

/// Sees the site's values of all variants under way, [row, variant, width] (entered ones first to last), before they go
/// on. Not called for variants at the site where they enter.
using RowHook = std::function<at::Tensor(Site, int64_t layer, const at::Tensor&)>;

/// Runs all variants to the end: what the head reads, [row, variant, embedding], variants in the order of `entries`,
/// which must be sorted by layer, heads before neurons. Differentiable in the entries' values.
at::Tensor run_entries(const Model& model, const PrefixCache& cache, const std::vector<Entry>& entries,
                       const RowHook& hook = {});

}  // namespace attribution
