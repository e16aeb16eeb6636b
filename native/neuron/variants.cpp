#include "neuron/variants.h"

namespace attribution {

PrefixCache rows_of(const PrefixCache& cache, const at::Tensor& rows) {
  const int64_t all = cache.out.size(0);
  if (rows.size(0) == all && rows.equal(at::arange(all, rows.options()))) return cache;
  auto take = [&rows](const at::Tensor& x) { return x.defined() && x.size(0) > 1 ? x.index_select(0, rows) : x; };
  auto routing = [&](const Routing& r) {
    return r.defined() ? Routing{take(r.chosen), take(r.weights), take(r.shared)} : Routing{};
  };
  PrefixCache taken;
  for (const CachedLayer& l : cache.layers) {
    taken.layers.push_back({l.row_x, l.row_mid, take(l.key), take(l.value), l.bias, take(l.x), take(l.heads),
                            take(l.mid), take(l.pre_activation), take(l.neurons), routing(l.routing),
                            take(l.projected_heads), take(l.projected_neurons)});
  }
  taken.out = take(cache.out);
  taken.read = take(cache.read);
  taken.batch = cache.batch;
  taken.row_out = cache.row_out;
  if (cache.batch) {
    const at::Tensor chosen = rows.to(at::kCPU);
    for (int64_t i = 0; i < chosen.size(0); ++i)
      taken.rows.push_back(cache.rows[static_cast<size_t>(chosen[i].item<int64_t>())]);
  }
  taken.positions = take(cache.positions);
  for (const at::Tensor& bias : cache.biases) taken.biases.push_back(take(bias));
  taken.extra = take(cache.extra);
  return taken;
}

}  // namespace attribution
