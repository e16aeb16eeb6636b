#include "model/prefix/prefix_cache.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "model/attention.h"
#include "model/linear.h"
#include "model/prefix/row_attention.h"
#include "model/transformer.h"

namespace attribution {
namespace {

/// [row, variant, feature] as [row * variant, feature], the shape that the block's pieces take.
at::Tensor flat(const at::Tensor& x) { return x.reshape({x.size(0) * x.size(1), x.size(2)}); }
at::Tensor unflat(const at::Tensor& x, int64_t rows) { return x.view({rows, -1, x.size(-1)}); }

/// One-token attention of the rows' variants to the cached prefix and to themselves; [row * variant, head * feature].
at::Tensor attend_rows(const Model& model, const PrefixCache& cache, int64_t index, const QueryKeyValue& own) {
  const CachedLayer& layer = cache.layers[static_cast<size_t>(index)];
  return attend_prefix(own.query, own.key, own.value,
                       {layer.key, layer.value, cache.biases[layer.bias],
                        model.architecture.layer_attention(index).divisor, model.architecture.attention_cap});
}

/// [token, head, feature] → [row, head, longest, feature]: every position before the readout; the last one stands for
/// it, and is zero.
at::Tensor prefix_of(const at::Tensor& x, const Batch& batch) {
  const at::Tensor padded = batch.equal ? x : x.index_select(0, batch.pad_index);
  at::Tensor prefix = padded.view({batch.rows(), batch.longest, x.size(1), x.size(2)})
                          .transpose(1, 2)
                          .clone(at::MemoryFormat::Contiguous);
  prefix.select(2, batch.longest - 1).zero_();
  return prefix;
}

/// What is added to the readout's scores in layers with this window: ALiBi, and minus infinity where a position is
/// padding or outside the window.
at::Tensor bias_of(const PrefixCache& cache, const Model& model, const Batch& batch, int64_t window) {
  const Architecture& a = model.architecture;
  const bool alibi = a.position == PositionKind::alibi, windowed = window > 0 && window < batch.longest;
  if (batch.equal && !alibi && !windowed) return {};
  const at::Tensor position = at::arange(batch.longest, cache.positions.options()).unsqueeze(0),
                   own = cache.positions.unsqueeze(1);
  const at::Tensor last = position.eq(batch.longest - 1);
  at::Tensor hidden = position.ge(own);
  if (windowed) hidden = hidden.logical_or(position.le(own - window));
  hidden = hidden.logical_and(last.logical_not());  // [row, longest]
  at::Tensor bias = at::zeros({1, 1, 1, 1}, at::TensorOptions().dtype(at::kDouble).device(model.device));
  if (alibi) {
    const at::Tensor slopes = alibi_slopes(a.heads).to(model.device).view({1, a.heads, 1, 1});
    bias = slopes * at::where(last, own, position).view({batch.rows(), 1, 1, -1});
  }
  return at::where(hidden.view({batch.rows(), 1, 1, -1}),
                   at::full({}, -std::numeric_limits<double>::infinity(), bias.options()), bias)
      .to(model.dtype);
}

/// The biases of the distinct windows in order; returns each layer's.
std::vector<size_t> add_biases(PrefixCache& cache, const Model& model, const Batch& batch) {
  std::vector<int64_t> windows;
  std::vector<size_t> indices;
  for (const LayerAttention& layer : model.architecture.attention) {
    const auto found = std::ranges::find(windows, layer.window);
    indices.push_back(static_cast<size_t>(found - windows.begin()));
    if (found != windows.end()) continue;
    windows.push_back(layer.window);
    cache.biases.push_back(bias_of(cache, model, batch, layer.window));
  }
  return indices;
}

}  // namespace

Hooks recorder(CachedLayer& layer, const at::Tensor& readout) {
  Hooks hooks;
  hooks.site = [&layer, readout](Site site, int64_t, const at::Tensor& x) {
    if (site == Site::heads) layer.heads = x.index_select(0, readout);
    if (site == Site::pre_activation) layer.pre_activation = x.index_select(0, readout);
    return x;
  };
  hooks.linear = [&layer, readout](ModuleId id, const Linear& linear, const at::Tensor& input, const at::Tensor&) {
    const at::Tensor output = apply(linear, input);
    if (id.module != Module::attention_output || id.part == Part::a) return output;
    const at::Tensor taken = output.index_select(0, readout);
    layer.projected_heads =
        id.part == Part::own ? taken : layer.projected_heads + taken * linear.scale;  // an adapter's B comes after W
    return output;
  };
  return hooks;
}

at::Tensor recorded_mlp(const Model& model, int64_t index, CachedLayer& layer, const MlpSource& source,
                        const at::Tensor& readout, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  const Neurons values = neurons(model, index, source, a.gated ? Hooks() : hooks);
  layer.neurons = unit_values(a, values, readout);
  layer.routing = values.routing.at(readout);
  const at::Tensor projected = project_neurons(model, index, values);
  layer.projected_neurons = projected.index_select(0, readout);
  return add_mlp(model, index, source.mid, projected);
}

at::Tensor heads_enter(const Model& model, const CachedLayer& cached, const Entry& entry) {
  const at::Tensor x = cached.x.unsqueeze(1).expand({-1, entry.values.size(1), -1});
  if (entry.projected) return unflat(add_attention(model, entry.layer, flat(x), flat(entry.values)), x.size(0));
  return unflat(after_attention(model, entry.layer, flat(x), flat(entry.values), {}), x.size(0));
}

at::Tensor projected_enter(const Model& model, const CachedLayer& cached, const Entry& entry) {
  const at::Tensor mid = cached.mid.unsqueeze(1).expand({-1, entry.values.size(1), -1});
  return unflat(add_mlp(model, entry.layer, flat(mid), flat(entry.values)), mid.size(0));
}

namespace {

struct Variants {
  at::Tensor x;  // [row, variant, hidden]

  void join(const at::Tensor& more) { x = x.defined() ? at::cat({x, more}, 1) : more; }
  bool any() const { return x.defined(); }
};

/// Rows of each token, [row * variant, n], behind those of others: variants of the same rows.
at::Tensor beside(const at::Tensor& first, const at::Tensor& second, int64_t rows) {
  return first.defined() ? flat(at::cat({unflat(first, rows), unflat(second, rows)}, 1)) : at::Tensor();
}

Routing beside(const Routing& first, const Routing& second, int64_t rows) {
  return {beside(first.chosen, second.chosen, rows), beside(first.weights, second.weights, rows),
          beside(first.shared, second.shared, rows)};
}

/// The neurons of variants that enter there, [row * variant]: they go where the unchanged rows went.
Neurons neurons_enter(const Architecture& a, const CachedLayer& cached, const Entry& entry) {
  const at::Tensor units = flat(entry.site == Site::neurons ? entry.values : activate(a, entry.values));
  const int64_t rows = entry.values.size(0), count = entry.values.size(1);
  const at::Tensor row = at::arange(rows, units.options().dtype(at::kLong)).repeat_interleave(count);
  return neurons_of_units(a, entry.layer, units, cached.routing.at(row));
}

at::Tensor hooked(const RowHook& hook, Site site, int64_t layer, const at::Tensor& x, int64_t rows) {
  return hook ? flat(hook(site, layer, unflat(x, rows))) : x;
}

class VariantsForward {
 public:
  VariantsForward(const Model& model, const PrefixCache& cache, const RowHook& hook)
      : model_(model), cache_(cache), hook_(hook), rows_(cache.out.size(0)) {}

  /// One block for all variants under way, and those that enter in it.
  void layer(int64_t index, const Entry* heads_entry, const Entry* neurons_entry) {
    const CachedLayer& cached = cache_.layers[static_cast<size_t>(index)];
    Variants inputs = variants_, mids;
    if (variants_.any()) mids.join(unflat(attention(index), rows_));
    if (heads_entry) {
      inputs.join(cached.x.unsqueeze(1).expand({-1, heads_entry->values.size(1), -1}));
      mids.join(heads_enter(model_, cached, *heads_entry));
    }
    const bool any = mids.any(), unprojected = neurons_entry && !neurons_entry->projected;
    Neurons values;
    if (any) values = mlp_values(index, inputs.x, mids.x);
    if (unprojected) {
      mids.join(cached.mid.unsqueeze(1).expand({-1, neurons_entry->values.size(1), -1}));
      const Neurons entered = neurons_enter(model_.architecture, cached, *neurons_entry);
      values = any ? with(index, values, entered) : entered;
    }
    if (any || unprojected) variants_.x = unflat(after_mlp(model_, index, flat(mids.x), values, {}), rows_);
    if (neurons_entry && !unprojected) variants_.join(projected_enter(model_, cached, *neurons_entry));
  }

  at::Tensor end() const { return unflat(finish(model_, flat(variants_.x)), rows_); }

 private:
  at::Tensor attention(int64_t index) const {
    const int64_t count = variants_.x.size(1);
    const at::Tensor x = flat(variants_.x);
    const at::Tensor positions = cache_.positions.repeat_interleave(count);
    const QueryKeyValue own =
        project(model_, index, attention_input(model_, index, x), rotations_at(model_, positions, positions + 1), {});
    const at::Tensor heads = attend_rows(model_, cache_, index, own);
    return after_attention(model_, index, x, hooked(hook_, Site::heads, index, heads, rows_), {});
  }

  Neurons mlp_values(int64_t index, const at::Tensor& x, const at::Tensor& mid) const {
    Hooks hooks;
    if (hook_) {
      hooks.site = [this](Site site, int64_t layer, const at::Tensor& values) {
        return site == Site::neurons ? hooked(hook_, site, layer, values, rows_) : values;
      };
    }
    return neurons(model_, index, {flat(x), flat(mid)}, hooks);
  }

  Neurons with(int64_t index, const Neurons& first, const Neurons& second) const {
    const Architecture& a = model_.architecture;
    return neurons_of_units(a, index, beside(unit_values(a, first), unit_values(a, second), rows_),
                            beside(first.routing, second.routing, rows_));
  }

  const Model& model_;
  const PrefixCache& cache_;
  const RowHook& hook_;
  const int64_t rows_;
  Variants variants_;
};

/// The forward of the prompts, with the extra variants as tokens behind their own.
class PromptForward {
 public:
  PromptForward(const Model& model, const Batch& batch, const std::vector<Entry>& extra)
      : model_(model), batch_(batch), extra_(extra), rows_(batch.rows()) {}

  PrefixCache run() {
    const at::NoGradGuard no_grad;
    cache_.positions = batch_.positions.index_select(0, batch_.readout);
    biases_ = add_biases(cache_, model_, batch_);
    tables_ = position_tables(model_, batch_);
    x_ = embed(model_, batch_, {});
    for (int64_t index = 0; index < model_.architecture.layers; ++index) layer(index);
    cache_.out = x_;
    cache_.read = finish(model_, x_);
    require_finite(batch_, x_, batch_.token_instance.index_select(0, batch_.readout));
    if (variants_.any()) cache_.extra = unflat(finish(model_, flat(variants_.x)), rows_);
    return std::move(cache_);
  }

 private:
  void layer(int64_t index) {
    CachedLayer& layer = cache_.layers.emplace_back();
    layer.bias = biases_[static_cast<size_t>(index)];
    layer.x = x_.index_select(0, batch_.readout);
    const bool last = index == model_.architecture.layers - 1;  // nothing reads its other positions
    at::Tensor all = joined(x_, variants_);
    const at::Tensor heads = attention(index, layer, all, last);
    if (last) all = joined(x_ = layer.x, variants_);
    const at::Tensor readout = last ? at::arange(rows_, batch_.readout.options()) : batch_.readout;
    const Hooks hooks = recorder(layer, readout);
    at::Tensor mid = after_attention(model_, index, all, heads, hooks);
    layer.mid = mid.index_select(0, readout);
    if (const Entry* entry = next(index, Site::heads)) {
      all = entered(all, layer.x.unsqueeze(1).expand({-1, entry->values.size(1), -1}));
      mid = entered(mid, heads_enter(model_, layer, *entry));
    }
    const at::Tensor out = recorded_mlp(model_, index, layer, {all, mid}, readout, hooks);
    variants_ = variants_of(out);
    x_ = out.narrow(0, 0, x_.size(0));
    if (const Entry* entry = next(index, Site::neurons)) variants_.join(projected_enter(model_, layer, *entry));
  }

  /// Keeps the layer's keys and values; the heads' outputs of the prompt's tokens (in the last layer of its readouts)
  /// and of the extra variants.
  at::Tensor attention(int64_t index, CachedLayer& layer, const at::Tensor& x, bool last) {
    const int64_t tokens = x_.size(0);
    const QueryKeyValue all = project(model_, index, attention_input(model_, index, x), rotations_of_all(), {});
    const QueryKeyValue own = part(all, 0, tokens);
    layer.key = prefix_of(own.key, batch_);
    layer.value = prefix_of(own.value, batch_);
    const at::Tensor& r = batch_.readout;
    const at::Tensor heads =
        last ? attend_rows(model_, cache_, index,
                           {own.query.index_select(0, r), own.key.index_select(0, r), own.value.index_select(0, r)})
             : attend(model_, index, own, batch_, tables_, {});
    return variants_.any()
               ? at::cat({heads, attend_rows(model_, cache_, index, part(all, tokens, all.query.size(0) - tokens))})
               : heads;
  }

  /// Of the prompt's tokens and of the variants behind them.
  Rotations rotations_of_all() const {
    if (!variants_.any()) return tables_.rotations;
    const auto of_all = [&](const at::Tensor& x) {
      return at::cat({x, x.index_select(0, batch_.readout).repeat_interleave(variants_.x.size(1), 0)});
    };
    Rotations all;
    for (const Rotation& r : tables_.rotations) all.push_back({of_all(r.cosine), of_all(r.sine)});
    return all;
  }

  static at::Tensor joined(const at::Tensor& tokens, const Variants& variants) {
    return variants.any() ? at::cat({tokens, flat(variants.x)}) : tokens;
  }

  /// Those behind the prompt's tokens.
  Variants variants_of(const at::Tensor& all) const {
    const int64_t own = x_.size(0), count = all.size(0) - own;
    return count > 0 ? Variants{unflat(all.narrow(0, own, count), rows_)} : Variants{};
  }

  at::Tensor entered(const at::Tensor& all, const at::Tensor& more) const {
    Variants variants = variants_of(all);
    variants.join(more);
    return joined(all.narrow(0, 0, x_.size(0)), variants);
  }

  static QueryKeyValue part(const QueryKeyValue& all, int64_t first, int64_t count) {
    return {all.query.narrow(0, first, count), all.key.narrow(0, first, count), all.value.narrow(0, first, count)};
  }

  /// The entry at this place, if the next one is.
  const Entry* next(int64_t layer, Site site) {
    if (next_ == extra_.size() || extra_[next_].layer != layer || extra_[next_].site != site) return nullptr;
    if (!extra_[next_].projected) fail(Code::invalid, "Extra variants enter only behind their projection");
    return &extra_[next_++];
  }

  const Model& model_;
  const Batch& batch_;
  const std::vector<Entry>& extra_;
  const int64_t rows_;
  PrefixCache cache_;
  PositionTables tables_;
  std::vector<size_t> biases_;
  at::Tensor x_;  // [token, hidden] of the prompt
  Variants variants_;
  size_t next_ = 0;
};

}  // namespace

int64_t cache_bytes(const Architecture& a, at::ScalarType dtype, int64_t rows, int64_t longest) {
  const int64_t prefix = (a.causal ? 2 * a.key_value_width() : 2 * a.hidden) * longest,
                states = 4 * a.hidden + a.query_width() + 2 * a.intermediate;
  return rows * a.layers * (prefix + states) * static_cast<int64_t>(at::elementSize(dtype));
}

PrefixCache build_cache(const Model& model, const Batch& batch, const std::vector<Entry>& extra) {
  if (!model.architecture.causal) return build_row_states(model, batch, extra);
  return PromptForward(model, batch, extra).run();
}

at::Tensor run_entries(const Model& model, const PrefixCache& cache, const std::vector<Entry>& entries,
                       const RowHook& hook) {
  if (entries.empty()) fail(Code::invalid, "No variants to run");
  if (!model.architecture.causal) return run_copies(model, cache, entries, hook);
  VariantsForward forward(model, cache, hook);
  for_layers(model, entries, [&](int64_t layer, const Entry* heads_entry, const Entry* neurons_entry) {
    forward.layer(layer, heads_entry, neurons_entry);
  });
  return forward.end();
}

void for_layers(const Model& model, const std::vector<Entry>& entries,
                const std::function<void(int64_t, const Entry*, const Entry*)>& each) {
  size_t next = 0;
  for (int64_t layer = entries.front().layer; layer < model.architecture.layers; ++layer) {
    const Entry *heads_entry = nullptr, *neurons_entry = nullptr;
    for (; next < entries.size() && entries[next].layer == layer; ++next) {
      const Entry*& place = entries[next].site == Site::heads ? heads_entry : neurons_entry;
      if (place) fail(Code::invalid, "A layer takes one entry per site");
      place = &entries[next];
    }
    each(layer, heads_entry, neurons_entry);
  }
}

}  // namespace attribution
