#include "neuron/change_units.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "core/error.h"
#include "model/evaluate.h"
#include "model/memory/tensor_pool.h"
#include "model/prefix/prefix_cache.h"
#include "model/transformer.h"
#include "neuron/memory.h"
#include "neuron/neuron_scores.h"
#include "neuron/unit_sets.h"
#include "neuron/variants.h"

namespace attribution {
namespace {

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
  Run(const Model& model, const Batch& batch, const PrefixCache& cache, const ReadoutTarget& target, const Sets& sets,
      const Order& order)
      : model_(model), batch_(batch), cache_(cache), target_(target), sets_(sets), order_(order) {}

  /// Class scores [instance * variant, class] of the variants first … first + count of each instance.
  at::Tensor scores(int64_t first, int64_t count) const {
    const Site enter = sets_.entry_site();
    std::vector<Entry> entries;
    for (int64_t begin = 0, end; begin < count; begin = end) {
      const int64_t layer = order_.entry[first + begin];
      for (end = begin; end < count && order_.entry[first + end] == layer; ++end) {
      }
      const at::Tensor unchanged =
          cache_.layers[static_cast<size_t>(layer)].at(enter).unsqueeze(1).expand({-1, end - begin, -1});
      entries.push_back({enter, layer, changed(unchanged, enter, layer, first + begin)});
    }
    const RowHook hook = [&](Site site, int64_t layer, const at::Tensor& x) {
      return sets_.has(site) ? changed(x, site, layer, first) : x;
    };
    return target_.changed_scores(model_, run_entries(model_, cache_, entries, hook));
  }

 private:
  at::Tensor changed(const at::Tensor& x, Site site, int64_t layer, int64_t first) const {
    std::vector<int64_t> indices;
    for (int64_t i = 0; i < batch_.size(); ++i) {
      for (int64_t v = 0; v < x.size(1); ++v) {
        sets_.add_features(batch_.instances[i], order_.order[i][first + v], site, layer,
                           (i * x.size(1) + v) * x.size(2), indices);
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
at::Tensor scores_fully(const Model& model, const Batch& batch, const ReadoutTarget& target, const Sets& sets,
                        int64_t set) {
  const at::Tensor positions = batch.readout.index_select(0, target.rows);
  Hooks hooks;
  hooks.site = [&](Site site, int64_t layer, const at::Tensor& x) {
    if (!sets.has(site)) return x;
    const at::Tensor own = x.index_select(0, positions).unsqueeze(1);
    std::vector<int64_t> indices;
    for (int64_t i = 0; i < batch.size(); ++i)
      sets.add_features(batch.instances[i], set, site, layer, i * x.size(1), indices);
    return x.index_copy(0, positions, sets.changed(own, site, layer, indices).squeeze(1));
  };
  const at::Tensor read = read_rows(model.architecture, forward(model, batch, hooks), batch);
  return target.changed_scores(model, read.index_select(0, target.rows).unsqueeze(1));
}

void store(ChangedPredictions& result, const Batch& batch, const ReadoutTarget& target, const at::Tensor& scores,
           int64_t count, const std::vector<std::vector<int64_t>>& sets, int64_t first) {
  const at::Tensor labels = target.labels.repeat_interleave(count);
  const at::Tensor contrast = target.contrast.defined() ? target.contrast.repeat_interleave(count) : at::Tensor();
  const at::Tensor values =
      target_values(scores, target.kind, labels, contrast).to(at::kCPU, at::kDouble).view({batch.size(), count});
  const at::Tensor predictions = scores.argmax(1).to(at::kCPU, at::kInt).view({batch.size(), count});
  for (int64_t i = 0; i < batch.size(); ++i) {
    const std::vector<int64_t> own(sets[i].begin() + first, sets[i].begin() + first + count);
    const at::Tensor place = at::tensor(own, at::kLong);
    result.changed_values[batch.instances[i]].index_copy_(0, place, values[i]);
    result.changed_predictions[batch.instances[i]].index_copy_(0, place, predictions[i]);
  }
}

void change_batch(ChangedPredictions& result, const Model& model, const Batch& batch, const UnitSets& s,
                  const Control& control) {
  const int64_t most = variants_within(model, batch, s.memory_bytes, Effort::rows);
  const Sets sets(model, s);
  const PrefixCache all = build_cache(model, batch);
  const ReadoutTarget target = readout_target(model, batch, head_logits(model, all.read), s.target);
  const at::Tensor place = at::tensor(batch.instances, at::kLong);
  result.predictions.index_copy_(0, place, target.class_scores.argmax(1).to(at::kCPU, at::kInt));
  result.labels.index_copy_(0, place, target.labels.to(at::kCPU, at::kInt));
  result.values.index_copy_(0, place, target.values.to(at::kCPU, at::kDouble));
  const Order order = sort_sets(batch, sets, s.sets);
  if (s.full_path) {
    std::vector<std::vector<int64_t>> plain(static_cast<size_t>(batch.size()),
                                            std::vector<int64_t>(static_cast<size_t>(s.sets)));
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
  check_sets(model, d, s);
  if (model.architecture.readout == Readout::mean && !model.architecture.predicts_tokens())
    fail(Code::unsupported, mean_has_no_position);
  const at::NoGradGuard no_grad;
  ChangedPredictions result;
  result.predictions = at::empty({d.size()}, at::kInt);
  result.labels = at::empty({d.size()}, at::kInt);
  result.values = at::empty({d.size()}, at::kDouble);
  result.changed_predictions = at::empty({d.size(), s.sets}, at::kInt);
  result.changed_values = at::empty({d.size(), s.sets}, at::kDouble);
  const TensorPool pool(static_cast<size_t>(s.memory_bytes));
  for_batches(
      model, d, s.batch_tokens, "changing units", control,
      [&](const Batch& batch) { change_batch(result, model, batch, s, control); },
      fits_in(model, s.memory_bytes, Effort::rows));
  return result;
}

}  // namespace attribution
