#include "neuron/unit_writes.h"

#include <algorithm>

#include "core/error.h"
#include "model/linear.h"
#include "model/transformer.h"

namespace attribution {
namespace {

/// The one output projection behind a site.
const Linear& output_of(const Model& model, Site site, int64_t layer) {
  if (site == Site::pre_activation)
    fail(Code::unsupported, "A pre-activation does not write to the residual; use the neurons");
  return model.weights[{site == Site::heads ? Module::attention_output : Module::down, layer}];
}

bool has_experts(const Model& model, Site site, int64_t layer) {
  return site == Site::neurons && model.architecture.has_experts(layer);
}

/// The modules through which a layer's neurons write, in the order of the neurons.
std::vector<ModuleId> writers_of(const Architecture& a, int64_t layer) {
  if (!a.has_experts(layer)) return {{Module::down, layer}};
  std::vector<ModuleId> all;
  for (int64_t e = 0; e < a.mixture.experts; ++e) all.push_back({Module::expert_down, layer, e});
  if (a.mixture.shared > 0) all.push_back({Module::shared_down, layer});
  return all;
}

at::Tensor padded(const at::Tensor& x, int64_t width) { return at::constant_pad_nd(x, {0, width - x.size(-1)}); }

}  // namespace

at::Tensor written_by(const Model& model, Site site, int64_t layer, const at::Tensor& values, const Routing& routing) {
  if (site != Site::neurons) return apply(output_of(model, site, layer), values);
  return project_neurons(model, layer, neurons_of_units(model.architecture, layer, values, routing));
}

at::Tensor pulled_back(const Model& model, Site site, int64_t layer, const at::Tensor& gradients,
                       const Routing& routing) {
  if (!has_experts(model, site, layer)) {
    const at::Tensor own = product(gradients, output_of(model, site, layer).matrix().t());
    return site == Site::neurons ? padded(own, model.architecture.intermediate) : own;
  }
  const int64_t rows = routing.chosen.size(0);
  const at::Tensor row = at::arange(rows, routing.chosen.options()).repeat({gradients.size(0) / rows});
  return units_of_gradients(model, layer, gradients, routing.at(row));
}

at::Tensor unit_columns(const Model& model, Site site, int64_t layer, int64_t unit) {
  const Architecture& a = model.architecture;
  if (site != Site::neurons) return output_of(model, site, layer).matrix().narrow(1, unit * a.head_size, a.head_size);
  for (const ModuleId id : writers_of(a, layer)) {
    const NeuronRange own = neurons_of(a, id);
    if (unit >= own.first && unit < own.first + own.count)
      return model.weights[id].matrix().narrow(1, unit - own.first, 1);
  }
  return at::zeros({a.hidden, 1}, model.options());  // a neuron that this layer lacks
}

at::Tensor column_norms(const Model& model, int64_t layer, const Routing& routing) {
  const Architecture& a = model.architecture;
  std::vector<at::Tensor> parts;
  for (const ModuleId id : writers_of(a, layer)) parts.push_back(model.weights[id].matrix().square().sum(0).sqrt());
  const at::Tensor norms = padded(at::cat(parts), a.intermediate).unsqueeze(0);
  return routing.defined() ? norms * unit_weights(a, routing) : norms;
}

WritingUnits::WritingUnits(const Model& model, Site site, int64_t layer, const Routing& routing)
    : model_(model), site_(site), layer_(layer), routing_(routing), count_(site_units(model.architecture, site)) {
  const Architecture& a = model.architecture;
  const Mixture& m = a.mixture;
  if (site != Site::neurons || !a.is_mixture()) return;
  if (!a.has_experts(layer)) {
    count_ = m.dense;
    units_ = at::arange(count_, at::TensorOptions().dtype(at::kLong).device(model.device)).unsqueeze(0);
    return;
  }
  const at::Tensor& chosen = routing.chosen;
  units_ = (chosen.unsqueeze(2) * m.width + at::arange(m.width, chosen.options())).flatten(1);
  if (m.shared > 0) {
    const at::Tensor own = m.experts * m.width + at::arange(m.shared, chosen.options());
    units_ = at::cat({units_, own.unsqueeze(0).expand({chosen.size(0), -1})}, 1);
  }
  count_ = units_.size(1);
}

at::Tensor WritingUnits::writes(const at::Tensor& change, int64_t first, int64_t count) const {
  if (has_experts(model_, site_, layer_)) return expert_writes(change, first, count);
  const Architecture& a = model_.architecture;
  const at::Tensor columns = output_of(model_, site_, layer_).matrix().t();  // [width, hidden]
  if (site_ == Site::neurons)
    return change.narrow(1, first, count).unsqueeze(2) * columns.narrow(0, first, count).unsqueeze(0);
  const int64_t size = a.head_size;
  const at::Tensor slices = columns.narrow(0, first * size, count * size).reshape({1, count, size, a.hidden});
  return at::matmul(change.narrow(1, first * size, count * size).reshape({-1, count, 1, size}), slices).squeeze(2);
}

at::Tensor WritingUnits::expert_writes(const at::Tensor& change, int64_t first, int64_t count) const {
  const Mixture& m = model_.architecture.mixture;
  const at::Tensor chosen = routing_.chosen.to(at::kCPU);
  std::vector<at::Tensor> rows;
  for (int64_t row = 0; row < chosen.size(0); ++row) {
    std::vector<at::Tensor> columns;
    for (int64_t choice = 0; choice <= m.chosen; ++choice) {
      const bool shared = choice == m.chosen;
      const int64_t begin = std::max(first, choice * m.width),
                    end = std::min(first + count, choice * m.width + (shared ? m.shared : m.width));
      if (begin >= end) continue;
      const ModuleId id = shared ? ModuleId{Module::shared_down, layer_}
                                 : ModuleId{Module::expert_down, layer_, chosen[row][choice].item<int64_t>()};
      const at::Tensor weight = shared ? routing_.shared[row][0] : routing_.weights[row][choice];
      columns.push_back(model_.weights[id].matrix().narrow(1, begin - choice * m.width, end - begin).t() * weight);
    }
    rows.push_back(at::cat(columns));
  }
  return change.gather(1, units_.narrow(1, first, count)).unsqueeze(2) * at::stack(rows);
}

at::Tensor WritingUnits::among_all(const at::Tensor& scores) const {
  if (!units_.defined()) return scores;
  return at::zeros({scores.size(0), site_units(model_.architecture, site_)}, scores.options())
      .scatter(1, units_.expand({scores.size(0), -1}), scores);
}

}  // namespace attribution
