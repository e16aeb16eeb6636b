#include "neuron/variants.h"

namespace attribution {

PrefixCache rows_of(const PrefixCache& cache, const at::Tensor& rows) {
  const int64_t all = cache.out.size(0);
  if (rows.size(0) == all && rows.equal(at::arange(all, rows.options()))) return cache;
  auto take = [&rows](const at::Tensor& x) { return x.defined() && x.size(0) > 1 ? x.index_select(0, rows) : x; };
  PrefixCache taken;
  for (const CachedLayer& l : cache.layers) {
    taken.layers.push_back({take(l.key), take(l.value), l.bias, take(l.x), take(l.heads), take(l.mid),
                            take(l.pre_activation), take(l.neurons), take(l.projected_heads),
                            take(l.projected_neurons)});
  }
  taken.out = take(cache.out);
  taken.positions = take(cache.positions);
  for (const at::Tensor& bias : cache.biases) taken.biases.push_back(take(bias));
  taken.extra = take(cache.extra);
  return taken;
}

}  // namespace attribution
