#include "neuron/change_units.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "model/evaluate.h"
#include "model/prefix_cache.h"
#include "model/tensor_pool.h"
#include "model/transformer.h"
#include "neuron/memory.h"
#include "neuron/variants.h"
#include "storage/error.h"

namespace attribution {
namespace {

int64_t units_per_layer(const Architecture& a, const UnitSets& s) { return (s.neurons ? a.intermediate : 0) + (s.heads ? a.heads : 0); }

void check(const Model& model, const Instances& d, const UnitSets& s) {
  check_instances(model, d, "instances");
  check_target(model, d, s.target);
  if (!s.neurons && !s.heads) fail(Code::invalid, "Expected the neurons, the heads or both to be changed");
  if (s.sets < 1 || static_cast<int64_t>(s.offsets.size()) != d.size() * s.sets + 1) fail(Code::invalid, "Expected offsets for ", d.size(), " instances of ", s.sets, " sets");
  if (s.offsets.front() != 0 || s.offsets.back() != static_cast<int64_t>(s.units.size())) fail(Code::invalid, "Set offsets must run from 0 to ", s.units.size());
  for (size_t i = 1; i < s.offsets.size(); ++i) {
    if (s.offsets[i] < s.offsets[i - 1]) fail(Code::invalid, "Set offsets must not fall");
  }
  const int64_t most = model.architecture.layers * units_per_layer(model.architecture, s);
  for (const int32_t unit : s.units) {
    if (unit < 0 || unit >= most) fail(Code::invalid, "Expected units within 0–", most - 1, " but received ", unit);
  }
}

/// The sets of all instances: which units each changes, and what a site's values become.
class Sets {
 public:
  Sets(const Model& model, const UnitSets& s) : s_(s), a_(model.architecture), per_layer_(units_per_layer(model.architecture, s)) {}

  bool has(Site site) const { return site == Site::heads ? s_.heads : site == Site::neurons && s_.neurons; }
  /// The first site of a layer that a set may change.
  Site entry_site() const { return s_.heads ? Site::heads : Site::neurons; }

  std::span<const int32_t> units(int64_t instance, int64_t set) const {
    const auto at = static_cast<size_t>(instance * s_.sets + set);
    return s_.units.subspan(static_cast<size_t>(s_.offsets[at]), static_cast<size_t>(s_.offsets[at + 1] - s_.offsets[at]));
  }

  /// First layer that the set changes; the last one for a set that changes nothing.
  int64_t first_layer(int64_t instance, int64_t set) const {
    if (s_.change == Change::keep_only) return 0;
    int64_t first = a_.layers - 1;
    for (const int32_t unit : units(instance, set)) first = std::min(first, unit / per_layer_);
    return first;
  }

  /// Adds the features of the set's units at a site of a layer, from `base` on.
  void add_features(int64_t instance, int64_t set, Site site, int64_t layer, int64_t base, std::vector<int64_t>& indices) const {
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
    if (s_.change == Change::scale) return from.clone().index_copy_(0, at, from.index_select(0, at) * s_.factor).view(values.sizes());
    const at::Tensor& replacement = site == Site::heads ? s_.head_replacement : s_.neuron_replacement;
    const at::Tensor blank = replacement.defined() ? replacement[layer].to(values.options()).expand_as(values).contiguous().view({-1}) : at::zeros_like(from);
    const bool keep = s_.change == Change::keep_only;
    return (keep ? blank : from).clone().index_copy_(0, at, (keep ? from : blank).index_select(0, at)).view(values.sizes());
  }

 private:
  const UnitSets& s_;
  const Architecture& a_;
  int64_t per_layer_;
};

/// The sets of a batch, each instance's sorted by the layer they enter at; `order[i][j]` is the j-th set of instance i.
struct Order {
  std::vector<std::vector<int64_t>> order;
  std::vector<int64_t> entry;  // [j] the lowest first layer over the instances
};

Order sort_sets(const Batch& batch, const Sets& sets, int64_t count) {
  Order result;
  result.entry.assign(static_cast<size_t>(count), std::numeric_limits<int64_t>::max());
  for (const int64_t instance : batch.instances) {
    std::vector<int64_t> first(static_cast<size_t>(count)), order(static_cast<size_t>(count));
    for (int64_t s = 0; s < count; ++s) first[s] = sets.first_layer(instance, s);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return first[a] < first[b]; });
    for (int64_t j = 0; j < count; ++j) result.entry[j] = std::min(result.entry[j], first[order[j]]);
    result.order.push_back(std::move(order));
  }
  return result;
}

class Run {
 public:
  Run(const Model& model, const Batch& batch, const PrefixCache& cache, const ReadoutTarget& target, const Sets& sets, const Order& order)
      : model_(model), batch_(batch), cache_(cache), target_(target), sets_(sets), order_(order) {}

  /// Class scores [instance * variant, class] of the variants first … first + count of each instance.
  at::Tensor scores(int64_t first, int64_t count) const {
    const Site enter = sets_.entry_site();
    std::vector<Entry> entries;
    for (int64_t begin = 0, end; begin < count; begin = end) {
      const int64_t layer = order_.entry[first + begin];
      for (end = begin; end < count && order_.entry[first + end] == layer; ++end) {}
      const at::Tensor unchanged = cache_.layers[static_cast<size_t>(layer)].at(enter).unsqueeze(1).expand({-1, end - begin, -1});
      entries.push_back({enter, layer, changed(unchanged, enter, layer, first + begin)});
    }
    const RowHook hook = [&](Site site, int64_t layer, const at::Tensor& x) { return sets_.has(site) ? changed(x, site, layer, first) : x; };
    return target_.changed_scores(model_, run_entries(model_, cache_, entries, hook));
  }

 private:
  at::Tensor changed(const at::Tensor& x, Site site, int64_t layer, int64_t first) const {
    std::vector<int64_t> indices;
    for (int64_t i = 0; i < batch_.size(); ++i) {
      for (int64_t v = 0; v < x.size(1); ++v) {
        sets_.add_features(batch_.instances[i], order_.order[i][first + v], site, layer, (i * x.size(1) + v) * x.size(2), indices);
      }
    }
    return sets_.changed(x, site, layer, indices);
  }

  const Model& model_;
  const Batch& batch_;
  const PrefixCache& cache_;
  const ReadoutTarget& target_;
  const Sets& sets_;
  const Order& order_;
};

/// One full forward with the sets of number `set`; class scores [instance, class].
at::Tensor scores_fully(const Model& model, const Batch& batch, const ReadoutTarget& target, const Sets& sets, int64_t set) {
  const at::Tensor positions = batch.readout.index_select(0, target.rows);
  Hooks hooks;
  hooks.site = [&](Site site, int64_t layer, const at::Tensor& x) {
    if (!sets.has(site)) return x;
    const at::Tensor own = x.index_select(0, positions).unsqueeze(1);
    std::vector<int64_t> indices;
    for (int64_t i = 0; i < batch.size(); ++i) sets.add_features(batch.instances[i], set, site, layer, i * x.size(1), indices);
    return x.index_copy(0, positions, sets.changed(own, site, layer, indices).squeeze(1));
  };
  return target.changed_scores(model, forward(model, batch, hooks).index_select(0, positions).unsqueeze(1));
}

void store(ChangedPredictions& result, const Batch& batch, const ReadoutTarget& target, const at::Tensor& scores, int64_t count, const std::vector<std::vector<int64_t>>& sets, int64_t first) {
  const at::Tensor labels = target.labels.repeat_interleave(count);
  const at::Tensor contrast = target.contrast.defined() ? target.contrast.repeat_interleave(count) : at::Tensor();
  const at::Tensor values = target_values(scores, target.kind, labels, contrast).to(at::kCPU, at::kDouble).view({batch.size(), count});
  const at::Tensor predictions = scores.argmax(1).to(at::kCPU, at::kInt).view({batch.size(), count});
  for (int64_t i = 0; i < batch.size(); ++i) {
    const std::vector<int64_t> own(sets[i].begin() + first, sets[i].begin() + first + count);
    const at::Tensor place = at::tensor(own, at::kLong);
    result.changed_values[batch.instances[i]].index_copy_(0, place, values[i]);
    result.changed_predictions[batch.instances[i]].index_copy_(0, place, predictions[i]);
  }
}

void change_batch(ChangedPredictions& result, const Model& model, const Batch& batch, const UnitSets& s, const Control& control) {
  const int64_t most = variants_within(model, batch, s.memory_bytes, Effort::rows);
  const Sets sets(model, s);
  const PrefixCache all = build_cache(model, batch);
  const ReadoutTarget target = readout_target(model, batch, head_logits(model, finish(model, all.out)), s.target);
  const at::Tensor place = at::tensor(batch.instances, at::kLong);
  result.predictions.index_copy_(0, place, target.class_scores.argmax(1).to(at::kCPU, at::kInt));
  result.labels.index_copy_(0, place, target.labels.to(at::kCPU, at::kInt));
  result.values.index_copy_(0, place, target.values.to(at::kCPU, at::kDouble));
  const Order order = sort_sets(batch, sets, s.sets);
  if (s.full_path) {
    std::vector<std::vector<int64_t>> plain(static_cast<size_t>(batch.size()), std::vector<int64_t>(static_cast<size_t>(s.sets)));
    for (auto& own : plain) std::iota(own.begin(), own.end(), 0);
    for (int64_t set = 0; set < s.sets; ++set) {
      control.check();
      store(result, batch, target, scores_fully(model, batch, target, sets, set), 1, plain, set);
    }
    return;
  }
  const PrefixCache cache = rows_of(all, target.rows);
  const Run run(model, batch, cache, target, sets, order);
  for (int64_t first = 0; first < s.sets; first += most) {
    control.check();
    const int64_t count = std::min(most, s.sets - first);
    store(result, batch, target, run.scores(first, count), count, order.order, first);
  }
}

}  // namespace

ChangedPredictions change_units(const Model& model, const Instances& d, const UnitSets& s, const Control& control) {
  check(model, d, s);
  const at::NoGradGuard no_grad;
  ChangedPredictions result;
  result.predictions = at::empty({d.size()}, at::kInt);
  result.labels = at::empty({d.size()}, at::kInt);
  result.values = at::empty({d.size()}, at::kDouble);
  result.changed_predictions = at::empty({d.size(), s.sets}, at::kInt);
  result.changed_values = at::empty({d.size(), s.sets}, at::kDouble);
  const TensorPool pool(static_cast<size_t>(s.memory_bytes));
  for_batches(model, d, s.batch_tokens, "changing units", control, [&](const Batch& batch) { change_batch(result, model, batch, s, control); },
              fits_in(model, s.memory_bytes, Effort::rows));
  return result;
}

}  // namespace attribution
