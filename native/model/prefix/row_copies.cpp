// The prefix cache's counterpart without causality. A unit changed at the readout position changes what all positions
// of its row become, so a changed model is a copy of the whole row: it enters at its layer, where the row's other
// positions have their unchanged states, and runs with all the others.
#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "model/attention.h"
#include "model/prefix/entries.h"
#include "model/transformer.h"

namespace attribution {
namespace {

/// The packed tokens of some copies of the cache's rows, one copy after the other.
struct Copies {
  RowCopies rows;
  PositionTables tables;
};

class CopiesForward {
 public:
  CopiesForward(const Model& model, const PrefixCache& cache, const RowHook& hook)
      : model_(model), cache_(cache), hook_(hook), rows_(static_cast<int64_t>(cache.rows.size())) {}

  /// One block for all copies under way, and those that enter in it.
  void layer(int64_t index, const Entry* heads_entry, const Entry* neurons_entry) {
    const CachedLayer& cached = cache_.layers[static_cast<size_t>(index)];
    at::Tensor x = x_, mid;
    if (count_ > 0) mid = attention(index);
    if (heads_entry) {
      const int64_t more = heads_entry->values.size(1);
      const at::Tensor entered = heads_enter(model_, cached, *heads_entry);
      x = joined(x, unchanged(cached.row_x, more));
      mid = joined(mid, with_readout(cached.row_mid, entered));
      count_ += more;
    }
    if (count_ > 0) {
      Neurons values = neurons(model_, index, {x, mid}, {});
      values.values = hooked(Site::neurons, index, values.values);
      x_ = after_mlp(model_, index, mid, values, {});
    }
    if (!neurons_entry) return;
    x_ = joined(x_, with_readout(row_out(index), neurons_enter(cached, *neurons_entry)));
    count_ += neurons_entry->values.size(1);
  }

  /// What the head reads, [row, variant, embedding].
  at::Tensor end() {
    const at::Tensor hidden = finish(model_, x_);
    return read_rows(model_.architecture, hidden, copies(count_).rows.batch).view({count_, rows_, -1}).transpose(0, 1);
  }

 private:
  /// The residual after the attention of the copies under way.
  at::Tensor attention(int64_t index) {
    const Copies& own = copies(count_);
    const QueryKeyValue qkv = project(model_, index, attention_input(model_, index, x_), own.tables.rotations, {});
    const at::Tensor heads = attend(model_, index, qkv, own.rows.batch, own.tables, {});
    return after_attention(model_, index, x_, hooked(Site::heads, index, heads), {});
  }

  /// The block's output at the readout positions of copies that enter at the neurons, [row, variant, hidden].
  at::Tensor neurons_enter(const CachedLayer& cached, const Entry& entry) const {
    if (entry.projected) return projected_enter(model_, cached, entry);
    const at::Tensor values = entry.site == Site::neurons ? entry.values : activate(model_.architecture, entry.values);
    const at::Tensor mid = cached.mid.unsqueeze(1).expand({-1, values.size(1), -1});
    return unflat(after_mlp(model_, entry.layer, flat(mid), {flat(values)}, {}), rows_);
  }

  at::Tensor hooked(Site site, int64_t index, const at::Tensor& x) {
    if (!hook_) return x;
    const at::Tensor& readout = copies(count_).rows.batch.readout;
    const at::Tensor own = x.index_select(0, readout).view({count_, rows_, -1}).transpose(0, 1);
    return x.index_copy(0, readout, packed(hook_(site, index, own.contiguous())));
  }

  /// [row, variant, feature] → [variant * row, feature], as copies lie.
  static at::Tensor packed(const at::Tensor& x) { return x.transpose(0, 1).reshape({-1, x.size(2)}); }

  at::Tensor unchanged(const at::Tensor& states, int64_t count) {
    return states.index_select(0, copies(count).rows.source);
  }

  at::Tensor with_readout(const at::Tensor& states, const at::Tensor& values) {
    const int64_t count = values.size(1);
    return unchanged(states, count).index_copy(0, copies(count).rows.batch.readout, packed(values));
  }

  static at::Tensor joined(const at::Tensor& x, const at::Tensor& more) {
    return x.defined() ? at::cat({x, more}) : more;
  }

  const at::Tensor& row_out(int64_t index) const {
    const auto next = static_cast<size_t>(index) + 1;
    return next < cache_.layers.size() ? cache_.layers[next].row_x : cache_.row_out;
  }

  const Copies& copies(int64_t count) {
    for (const auto& [known, made] : made_) {
      if (known == count) return *made;
    }
    auto made = std::make_shared<Copies>();
    made->rows = copies_of(*cache_.batch, cache_.rows, count);
    made->tables = position_tables(model_, made->rows.batch);
    made_.emplace_back(count, made);
    return *made;
  }

  const Model& model_;
  const PrefixCache& cache_;
  const RowHook& hook_;
  const int64_t rows_;
  int64_t count_ = 0;  // copies under way
  at::Tensor x_;       // [copy * token, hidden] of them
  std::vector<std::pair<int64_t, std::shared_ptr<const Copies>>> made_;
};

}  // namespace

PrefixCache build_row_states(const Model& model, const Batch& batch, const std::vector<Entry>& extra) {
  const at::NoGradGuard no_grad;
  PrefixCache cache;
  cache.batch = std::make_shared<Batch>(batch);
  cache.rows.resize(static_cast<size_t>(batch.rows()));
  std::iota(cache.rows.begin(), cache.rows.end(), 0);
  const PositionTables tables = position_tables(model, batch);
  at::Tensor x = embed(model, batch, {});
  for (int64_t index = 0; index < model.architecture.layers; ++index) {
    CachedLayer& layer = cache.layers.emplace_back();
    const Hooks hooks = recorder(layer, batch.readout);
    layer.row_x = x;
    layer.x = x.index_select(0, batch.readout);
    const QueryKeyValue qkv = project(model, index, attention_input(model, index, x), tables.rotations, {});
    layer.row_mid = after_attention(model, index, x, attend(model, index, qkv, batch, tables, {}), hooks);
    layer.mid = layer.row_mid.index_select(0, batch.readout);
    x = recorded_mlp(model, index, layer, {x, layer.row_mid}, batch.readout, hooks);
  }
  cache.row_out = x;
  cache.out = x.index_select(0, batch.readout);
  cache.positions = batch.positions.index_select(0, batch.readout);
  cache.read = read_rows(model.architecture, finish(model, x), batch);
  require_finite(batch, cache.read, batch.token_instance.index_select(0, batch.readout));
  if (extra.empty()) return cache;
  if (!std::ranges::all_of(extra, &Entry::projected))
    fail(Code::invalid, "Extra variants enter only behind their projection");
  cache.extra = run_copies(model, cache, extra, {});
  return cache;
}

at::Tensor run_copies(const Model& model, const PrefixCache& cache, const std::vector<Entry>& entries,
                      const RowHook& hook) {
  CopiesForward forward(model, cache, hook);
  for_layers(model, entries, [&](int64_t layer, const Entry* heads_entry, const Entry* neurons_entry) {
    forward.layer(layer, heads_entry, neurons_entry);
  });
  return forward.end();
}

}  // namespace attribution
