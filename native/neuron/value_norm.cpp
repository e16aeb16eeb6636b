// |wᵢ| ‖vᵢ‖: the size of what a unit writes into the residual, v its column of the output projection (Geva et al.
// 2022). Of a head: the norm of its slice's output.
#include <cmath>

#include "model/prefix/prefix_cache.h"
#include "neuron/neuron_scores.h"
#include "neuron/unit_writes.h"

namespace attribution {

BatchScores value_norms(const Model& model, const PrefixCache& cache, const ReadoutTarget& target,
                        const NeuronOptions& o) {
  const at::NoGradGuard no_grad;
  const Architecture& a = model.architecture;
  std::vector<at::Tensor> layers;
  for (const int64_t layer : o.layers) {
    const CachedLayer& cached = cache.layers[static_cast<size_t>(layer)];
    const at::Tensor w = cached.at(o.site).index_select(0, target.rows);
    if (o.site == Site::neurons) {
      layers.push_back(w.abs() * column_norms(model, layer, cached.routing.at(target.rows)));
      continue;
    }
    const at::Tensor matrix = model.weights[{Module::attention_output, layer}].matrix();  // [hidden, width]
    const at::Tensor values = w.view({-1, a.heads, 1, a.head_size});
    const at::Tensor slices =
        matrix.reshape({a.hidden, a.heads, a.head_size}).permute({1, 2, 0});  // [head, feature, hidden]
    layers.push_back(at::matmul(values, slices.unsqueeze(0)).square().sum({2, 3}).sqrt());
  }
  return {at::stack(layers, 1) * std::abs(a.residual_scale), {}};
}

}  // namespace attribution
