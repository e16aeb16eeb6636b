// log p(residual + wᵢ vᵢ) − log p(residual), read through the final norm and the head at once (Yu & Ananiadou 2024):
// what a unit's own write does to the target, whatever later layers make of it. The residual is the one that the site's
// output is added to.
#include "core/error.h"
#include "model/prefix/prefix_cache.h"
#include "model/transformer.h"
#include "neuron/neuron_scores.h"
#include "neuron/unit_writes.h"
#include "neuron/variants.h"

namespace attribution {

BatchScores log_probability_increases(const Model& model, const PrefixCache& all, const ReadoutTarget& given,
                                      const NeuronOptions& o, int64_t fitting, const Control& control) {
  if (!model.architecture.writes_plainly())
    fail(Code::unsupported,
         "The log-probability increase reads a pre-norm residual; this model normalises what its blocks write");
  const at::NoGradGuard no_grad;
  const PrefixCache cache = rows_of(all, given.rows);
  ReadoutTarget target = given;
  target.kind = TargetKind::log_probability;
  const int64_t rows = target.rows.size(0);
  const int64_t most = std::min<int64_t>(fitting, std::max<int64_t>(1, 1024 / rows));
  auto read = [&](const at::Tensor& residual) {  // [row, variant, hidden] → [row, variant]
    const at::Tensor hidden = finish(model, residual.reshape({-1, residual.size(2)}));
    return target.of(model, hidden.view({residual.size(0), residual.size(1), -1}));
  };
  std::vector<at::Tensor> layers;
  for (const int64_t layer : o.layers) {
    const CachedLayer& cached = cache.layers[static_cast<size_t>(layer)];
    const at::Tensor residual = (o.site == Site::heads ? cached.x : cached.mid).unsqueeze(1);
    const at::Tensor alone = read(residual);
    const WritingUnits units(model, o.site, layer, cached.routing);
    std::vector<at::Tensor> values;
    for (int64_t first = 0; first < units.count(); first += most) {
      control.check();
      const int64_t count = std::min(most, units.count() - first);
      const at::Tensor writes = units.writes(cached.at(o.site), first, count);
      values.push_back(read(residual + model.architecture.residual_scale * writes) - alone);
    }
    layers.push_back(units.among_all(at::cat(values, 1)));
  }
  return {at::stack(layers, 1), {}};
}

}  // namespace attribution
