#include "neuron/variants.h"

namespace attribution {

PrefixCache rows_of(const PrefixCache& cache, const at::Tensor& rows) {
  const int64_t all = cache.out.size(0);
  if (rows.size(0) == all && rows.equal(at::arange(all, rows.options()))) return cache;
  auto take = [&rows](const at::Tensor& x) { return x.defined() && x.size(0) > 1 ? x.index_select(0, rows) : x; };
  PrefixCache own;
  for (const CachedLayer& l : cache.layers) {
    own.layers.push_back({take(l.key), take(l.value), take(l.x), take(l.heads), take(l.mid), take(l.pre_activation),
                          take(l.neurons), take(l.projected_heads), take(l.projected_neurons)});
  }
  own.out = take(cache.out);
  own.positions = take(cache.positions);
  own.bias = take(cache.bias);
  own.along = take(cache.along);
  return own;
}

}  // namespace attribution
