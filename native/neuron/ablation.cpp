// F − F with one unit at zero (or at a given value), for every single unit. Ablating a unit takes its column of the
// output projection away from the block's output, so a variant enters behind the projection and costs the layers above
// only.
#include "model/prefix/prefix_cache.h"
#include "neuron/neuron_scores.h"
#include "neuron/unit_writes.h"
#include "neuron/variants.h"

namespace attribution {

BatchScores ablate_units(const Model& model, const PrefixCache& all, const ReadoutTarget& target,
                         const NeuronOptions& o, int64_t fitting, const Control& control) {
  const at::NoGradGuard no_grad;
  const PrefixCache cache = rows_of(all, target.rows);
  const int64_t rows = target.rows.size(0);
  // Runs of a few hundred rows are as fast as long ones and notice an abort sooner.
  const int64_t most = std::min<int64_t>(fitting, std::max<int64_t>(1, 1024 / rows));
  std::vector<at::Tensor> layers;
  for (size_t i = 0; i < o.layers.size(); ++i) {
    const int64_t layer = o.layers[i];
    const CachedLayer& cached = cache.layers[static_cast<size_t>(layer)];
    const at::Tensor& w = cached.at(o.site);
    const at::Tensor change = o.baseline.defined() ? w - o.baseline[static_cast<int64_t>(i)].to(model.options()) : w;
    const at::Tensor projected = written_by(model, o.site, layer, w, cached.routing).unsqueeze(1);  // [row, 1, hidden]
    const WritingUnits units(model, o.site, layer, cached.routing);
    std::vector<at::Tensor> values;
    for (int64_t first = 0; first < units.count(); first += most) {
      control.check();
      const int64_t count = std::min(most, units.count() - first);
      const Entry entry{o.site, layer, projected - units.writes(change, first, count), true};
      values.push_back(target.of(model, run_entries(model, cache, {entry})));
    }
    layers.push_back(units.among_all(target.values.unsqueeze(1) - at::cat(values, 1)));
  }
  return {at::stack(layers, 1), {}};
}

}  // namespace attribution
