#include <algorithm>
#include <limits>

#include "core/error.h"
#include "model/attention.h"
#include "model/prefix/entries.h"
#include "model/transformer.h"

namespace attribution {
namespace {

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

}  // namespace attribution
