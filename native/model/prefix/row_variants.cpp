#include "core/error.h"
#include "model/attention.h"
#include "model/prefix/entries.h"
#include "model/transformer.h"

namespace attribution {
namespace {

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

}  // namespace

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

}  // namespace attribution
