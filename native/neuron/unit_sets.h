// Sets of units as features of a site: which each instance changes, and what the site's values become.
#pragma once
#include <algorithm>
#include <span>
#include <vector>

#include "model/hooks.h"
#include "neuron/readout_target.h"

namespace attribution {

/// suppress: the units become `replacement` (zero); keep_only: all other units of the sites do; scale: the units times
/// `factor`.
enum class Change { suppress, keep_only, scale };

struct UnitSets {
  bool neurons = true,
       heads = false;  // the sites that units are of; with both, a layer's neurons come before its heads
  Change change = Change::suppress;
  double factor = 1;
  at::Tensor neuron_replacement, head_replacement;  // [layer, width] or undefined for zero
  int64_t sets = 0;                                 // of each instance
  std::vector<int32_t> offsets;                     // [instance * sets + 1]
  std::vector<int32_t> units;                       // layer * units of a layer + unit
  TargetOptions target;
  bool full_path = false;  // one full forward per set: the reference
  int64_t batch_tokens = 4096;
  int64_t memory_bytes = int64_t{1} << 30;
};

inline int64_t units_per_layer(const Architecture& a, const UnitSets& s) {
  return (s.neurons ? a.intermediate : 0) + (s.heads ? a.heads : 0);
}

/// Refuses sets that do not fit each other, the instances or the model.
void check_sets(const Model& model, const Instances& instances, const UnitSets& sets);

/// The sets of all instances: which units each changes, and what a site's values become.
class Sets {
 public:
  Sets(const Model& model, const UnitSets& s)
      : s_(s), a_(model.architecture), per_layer_(units_per_layer(model.architecture, s)) {}

  bool has(Site site) const { return site == Site::heads ? s_.heads : site == Site::neurons && s_.neurons; }
  /// The first site of a layer that a set may change.
  Site entry_site() const { return s_.heads ? Site::heads : Site::neurons; }

  std::span<const int32_t> units(int64_t instance, int64_t set) const {
    const auto at = static_cast<size_t>(instance * s_.sets + set);
    return std::span(s_.units).subspan(static_cast<size_t>(s_.offsets[at]),
                                       static_cast<size_t>(s_.offsets[at + 1] - s_.offsets[at]));
  }

  /// First layer that the set changes; the last one for a set that changes nothing.
  int64_t first_layer(int64_t instance, int64_t set) const {
    if (s_.change == Change::keep_only) return 0;
    int64_t first = a_.layers - 1;
    for (const int32_t unit : units(instance, set)) first = std::min(first, unit / per_layer_);
    return first;
  }

  /// Adds the features of the set's units at a site of a layer, from `base` on.
  void add_features(int64_t instance, int64_t set, Site site, int64_t layer, int64_t base,
                    std::vector<int64_t>& indices) const {
    const int64_t neurons = s_.neurons ? a_.intermediate : 0;
    for (const int32_t unit : units(instance, set)) {
      const int64_t place = unit % per_layer_;
      if (unit / per_layer_ != layer || (place < neurons) != (site == Site::neurons)) continue;
      if (site == Site::neurons) {
        indices.push_back(base + place);
        continue;
      }
      for (int64_t f = 0; f < a_.head_size; ++f) indices.push_back(base + (place - neurons) * a_.head_size + f);
    }
  }

  /// values [row, variant, width] with the named features (flat indices into them) changed.
  at::Tensor changed(const at::Tensor& values, Site site, int64_t layer, const std::vector<int64_t>& indices) const {
    if (indices.empty() && s_.change != Change::keep_only) return values;
    const at::Tensor at = at::tensor(indices, at::kLong).to(values.device());
    const at::Tensor from = values.contiguous().view({-1});
    if (s_.change == Change::scale)
      return from.clone().index_copy_(0, at, from.index_select(0, at) * s_.factor).view(values.sizes());
    const at::Tensor& replacement = site == Site::heads ? s_.head_replacement : s_.neuron_replacement;
    const at::Tensor blank = replacement.defined()
                                 ? replacement[layer].to(values.options()).expand_as(values).contiguous().view({-1})
                                 : at::zeros_like(from);
    const bool keep = s_.change == Change::keep_only;
    return (keep ? blank : from)
        .clone()
        .index_copy_(0, at, (keep ? from : blank).index_select(0, at))
        .view(values.sizes());
  }

 private:
  const UnitSets& s_;
  const Architecture& a_;
  int64_t per_layer_;
};

}  // namespace attribution
