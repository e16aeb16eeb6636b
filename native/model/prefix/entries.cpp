#include "model/prefix/entries.h"

#include "core/error.h"
#include "model/linear.h"
#include "model/prefix/row_attention.h"
#include "model/transformer.h"

namespace attribution {

at::Tensor flat(const at::Tensor& x) { return x.reshape({x.size(0) * x.size(1), x.size(2)}); }
at::Tensor unflat(const at::Tensor& x, int64_t rows) { return x.view({rows, -1, x.size(-1)}); }

at::Tensor attend_rows(const Model& model, const PrefixCache& cache, int64_t index, const QueryKeyValue& own) {
  const CachedLayer& layer = cache.layers[static_cast<size_t>(index)];
  return attend_prefix(own.query, own.key, own.value,
                       {layer.key, layer.value, cache.biases[layer.bias],
                        model.architecture.layer_attention(index).divisor, model.architecture.attention_cap});
}

Hooks recorder(CachedLayer& layer, const at::Tensor& readout) {
  Hooks hooks;
  hooks.site = [&layer, readout](Site site, int64_t, const at::Tensor& x) {
    if (site == Site::heads) layer.heads = x.index_select(0, readout);
    if (site == Site::pre_activation) layer.pre_activation = x.index_select(0, readout);
    return x;
  };
  hooks.linear = [&layer, readout](ModuleId id, const Linear& linear, const at::Tensor& input, const at::Tensor&) {
    const at::Tensor output = apply(linear, input);
    if (id.module != Module::attention_output || id.part == Part::a) return output;
    const at::Tensor taken = output.index_select(0, readout);
    layer.projected_heads =
        id.part == Part::own ? taken : layer.projected_heads + taken * linear.scale;  // an adapter's B comes after W
    return output;
  };
  return hooks;
}

at::Tensor recorded_mlp(const Model& model, int64_t index, CachedLayer& layer, const MlpSource& source,
                        const at::Tensor& readout, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  const Neurons values = neurons(model, index, source, a.gated ? Hooks() : hooks);
  layer.neurons = unit_values(a, values, readout);
  layer.routing = values.routing.at(readout);
  const at::Tensor projected = project_neurons(model, index, values);
  layer.projected_neurons = projected.index_select(0, readout);
  return add_mlp(model, index, source.mid, projected);
}

at::Tensor heads_enter(const Model& model, const CachedLayer& cached, const Entry& entry) {
  const at::Tensor x = cached.x.unsqueeze(1).expand({-1, entry.values.size(1), -1});
  if (entry.projected) return unflat(add_attention(model, entry.layer, flat(x), flat(entry.values)), x.size(0));
  return unflat(after_attention(model, entry.layer, flat(x), flat(entry.values), {}), x.size(0));
}

at::Tensor projected_enter(const Model& model, const CachedLayer& cached, const Entry& entry) {
  const at::Tensor mid = cached.mid.unsqueeze(1).expand({-1, entry.values.size(1), -1});
  return unflat(add_mlp(model, entry.layer, flat(mid), flat(entry.values)), mid.size(0));
}

void for_layers(const Model& model, const std::vector<Entry>& entries,
                const std::function<void(int64_t, const Entry*, const Entry*)>& each) {
  size_t next = 0;
  for (int64_t layer = entries.front().layer; layer < model.architecture.layers; ++layer) {
    const Entry *heads_entry = nullptr, *neurons_entry = nullptr;
    for (; next < entries.size() && entries[next].layer == layer; ++next) {
      const Entry*& place = entries[next].site == Site::heads ? heads_entry : neurons_entry;
      if (place) fail(Code::invalid, "A layer takes one entry per site");
      place = &entries[next];
    }
    each(layer, heads_entry, neurons_entry);
  }
}

}  // namespace attribution
