#include "instance/curvature/readout_curvature.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <numeric>

#include "model/evaluate.h"
#include "model/linear.h"
#include "model/prefix/prefix_cache.h"
#include "model/transformer.h"

namespace attribution {
namespace {

constexpr int64_t rows_together = 2048;  // times vectors

std::vector<std::vector<int64_t>> chunks(int64_t instances, int64_t most) {
  std::vector<std::vector<int64_t>> chunks;
  for (int64_t i = 0; i < instances; ++i) {
    if (i % std::max<int64_t>(1, most) == 0) chunks.emplace_back();
    chunks.back().push_back(i);
  }
  return chunks;
}

bool is_above(const Architecture& a, ModuleId id) {
  const bool mlp =
      id.module == Module::up || id.module == Module::gate || id.module == Module::gate_up || id.module == Module::down;
  return id.module == Module::head || id.module == Module::head_dense || (mlp && id.layer == a.layers - 1);
}

}  // namespace

bool ReadoutCurvature::applies(const Model& model, const Instances& train, const ModuleSelection& modules,
                               const CurvatureOptions& o) {
  const Architecture& a = model.architecture;
  if (a.predicts_tokens() || a.readout == Readout::mean) return false;
  for (size_t i = 0; i < modules.size(); ++i) {
    if (!is_above(a, modules.id(i))) return false;
  }
  const int64_t width = 4 * a.hidden + 4 * a.active_width();  // residuals, inputs and gradients of the MLP's modules
  return train.rows() * width * static_cast<int64_t>(at::elementSize(model.dtype)) <= o.memory_bytes / 2;
}

ReadoutCurvature::ReadoutCurvature(const Model& model, const Instances& train, const ModuleSelection& modules,
                                   const CurvatureOptions& o, const Control& control)
    : model_(model),
      modules_(modules),
      reduction_(o.reduction),
      cached_{{train.group_offsets.begin(), train.group_offsets.end()}} {
  read_states(train, o.batch_tokens, control);
  read_factors();
}

void ReadoutCurvature::read_states(const Instances& train, int64_t batch_tokens, const Control& control) {
  const at::NoGradGuard no_grad;
  x_ = at::empty({train.rows(), model_.architecture.hidden}, model_.options());
  mid_ = at::empty_like(x_);
  for_batches(model_, train, batch_tokens, "reading states", control, [&](const Batch& batch) {
    const CachedLayer last = build_cache(model_, batch).layers.back();
    const at::Tensor places = row_places(train, batch).to(model_.device);
    x_.index_copy_(0, places, last.x);
    mid_.index_copy_(0, places, last.mid);
  });
  labels_ = at::tensor(std::vector<int64_t>(train.labels.begin(), train.labels.end()), at::kLong).to(model_.device);
}

ReadoutCurvature::Rows ReadoutCurvature::rows_of(const std::vector<int64_t>& instances, int64_t copies) const {
  const at::Tensor index = cached_.rows_of(instances, model_.device).repeat({copies});
  Rows rows{x_.index_select(0, index), mid_.index_select(0, index), {}};
  Batch& batch = rows.batch;
  batch.group_offsets = {0};
  for (int64_t copy = 0; copy < copies; ++copy) {
    for (const int64_t i : instances) {
      batch.instances.push_back(i);
      batch.group_offsets.push_back(batch.group_offsets.back() + cached_.count(i));
    }
  }
  batch.labels = labels_.index_select(0, at::tensor(batch.instances, at::kLong).to(model_.device));
  batch.readout = at::arange(index.size(0), index.options());
  return rows;
}

at::Tensor ReadoutCurvature::losses(const Rows& rows, const Hooks& hooks) const {
  const int64_t last = model_.architecture.layers - 1;
  const Neurons values = neurons(model_, last, {rows.x, rows.mid}, hooks);
  const at::Tensor hidden = finish(model_, after_mlp(model_, last, rows.mid, values, hooks));
  return instance_losses(model_, hidden, rows.batch, reduction_, hooks);
}

void ReadoutCurvature::read_factors() {
  const at::AutoGradMode grad(true);
  std::vector<int64_t> all(static_cast<size_t>(cached_.instances()));
  std::iota(all.begin(), all.end(), 0);
  factors_.instances = cached_.instances();
  factors_.modules.resize(modules_.size());
  is_constant_.resize(modules_.size());
  std::vector<at::Tensor> outputs(modules_.size());
  Hooks hooks;
  hooks.taps_head = true;
  hooks.linear = [&](ModuleId id, const Linear& linear, const at::Tensor& input, const at::Tensor&) {
    const at::Tensor output = apply(linear, input);
    const int64_t place = modules_.find(id);
    if (place < 0) return output;
    outputs[place] = output.requires_grad() ? output : output.detach().requires_grad_(true);
    factors_.modules[place].inputs = input.detach();
    factors_.modules[place].bias = linear.bias.defined();
    is_constant_[place] = !input.requires_grad();
    return outputs[place];
  };
  const auto gradients = torch::autograd::grad({losses(rows_of(all, 1), hooks).sum()}, outputs);
  const at::Tensor owners = cached_.owners(model_.device);
  for (size_t k = 0; k < outputs.size(); ++k) {
    factors_.modules[k].gradients = gradients[k];
    factors_.modules[k].instance = owners;
  }
}

ReadoutCurvature::Images ReadoutCurvature::images_of(const at::Tensor& rows, const at::Tensor& vectors) const {
  Images images;
  const int64_t count = vectors.size(0);
  int64_t place = 0;
  for (const ModuleFactors& m : factors_.modules) {
    const int64_t output = m.gradients.size(1), input = m.inputs.size(1);
    const at::Tensor v = vectors.narrow(1, place, output * input).view({count, output, input});
    place += output * input;
    const at::Tensor a = m.inputs.index_select(0, rows), g = m.gradients.index_select(0, rows);
    at::Tensor seen = at::matmul(a, v.transpose(1, 2));  // [vector, row, output]
    if (m.bias) seen += vectors.narrow(1, place, output).unsqueeze(1);
    place += m.bias ? output : 0;
    images.outputs.push_back(seen);
    images.inputs.push_back(is_constant_[images.inputs.size()] ? at::Tensor()
                                                               : at::matmul(g, v));  // [vector, row, input]
  }
  return images;
}

ReadoutCurvature::Images ReadoutCurvature::tangents(const std::vector<int64_t>& instances, const Images& images) const {
  const at::AutoGradMode grad(true);
  const int64_t copies = images.outputs[0].size(0);
  // A loss of offsets e to the modules' outputs and of w in Σ ⟨w, a⟩, all zero: with S = Σ ⟨V a, ∂loss/∂e⟩ + ⟨Vᵀ g, a⟩,
  // R g is ∂S/∂e and R a is ∂S/∂w.
  std::vector<at::Tensor> offsets(modules_.size()), inputs(modules_.size()), weights(modules_.size());
  at::Tensor extra = at::zeros({}, model_.options());
  Hooks hooks;
  hooks.taps_head = true;
  hooks.twice_differentiable = true;
  hooks.linear = [&](ModuleId id, const Linear& linear, const at::Tensor& input, const at::Tensor&) {
    const at::Tensor output = apply(linear, input, true);
    const int64_t place = modules_.find(id);
    if (place < 0) return output;
    offsets[place] = at::zeros_like(output, {}, at::MemoryFormat::Contiguous).requires_grad_(true);
    if (input.requires_grad()) {
      inputs[place] = input;
      weights[place] = at::zeros_like(input, {}, at::MemoryFormat::Contiguous).requires_grad_(true);
      extra = extra + (input * weights[place]).sum();
    }
    return output + offsets[place];
  };
  const at::Tensor loss = losses(rows_of(instances, copies), hooks).sum() + extra;
  const auto first = torch::autograd::grad({loss}, offsets, {}, true, true);
  std::vector<at::Tensor> sought = offsets, sums = first, seeds;
  for (size_t k = 0; k < offsets.size(); ++k) seeds.push_back(images.outputs[k].reshape_as(first[k]));
  for (size_t k = 0; k < offsets.size(); ++k) {
    if (!weights[k].defined()) continue;
    sought.push_back(weights[k]);
    sums.push_back(inputs[k]);
    seeds.push_back(images.inputs[k].reshape_as(inputs[k]));
  }
  const auto second = torch::autograd::grad(sums, sought, seeds, false, false, true);
  Images result;
  size_t next = offsets.size();
  for (size_t k = 0; k < offsets.size(); ++k) {
    auto shaped = [&](const at::Tensor& x, const at::Tensor& like) {
      return (x.defined() ? x : at::zeros_like(like)).view({copies, -1, like.size(1)});
    };
    result.outputs.push_back(shaped(second[k], offsets[k]));
    result.inputs.push_back(weights[k].defined() ? shaped(second[next], weights[k]) : at::Tensor());
    if (weights[k].defined()) ++next;
  }
  return result;
}

at::Tensor ReadoutCurvature::products(const std::vector<int64_t>& instances, const at::Tensor& vectors) const {
  const at::Tensor rows = cached_.rows_of(instances, model_.device);
  const Images r = tangents(instances, images_of(rows, vectors));
  at::Tensor result = at::empty_like(vectors);
  int64_t place = 0;
  for (size_t k = 0; k < factors_.modules.size(); ++k) {
    const ModuleFactors& m = factors_.modules[k];
    const int64_t output = m.gradients.size(1), input = m.inputs.size(1);
    at::Tensor part = result.narrow(1, place, output * input).view({-1, output, input});
    part.copy_(at::matmul(r.outputs[k].transpose(1, 2), m.inputs.index_select(0, rows)));
    if (r.inputs[k].defined()) part += at::matmul(m.gradients.index_select(0, rows).t(), r.inputs[k]);
    place += output * input;
    if (!m.bias) continue;
    result.narrow(1, place, output).copy_(r.outputs[k].sum(1));
    place += output;
  }
  return result;
}

at::Tensor ReadoutCurvature::mean_products(const at::Tensor& vectors, const Control& control) const {
  at::Tensor sum = at::zeros_like(vectors);
  for (const auto& members : chunks(factors_.instances, rows_together / vectors.size(0))) {
    control.check();
    sum += products(members, vectors);
  }
  return sum / static_cast<double>(factors_.instances);
}

at::Tensor ReadoutCurvature::gradient_products(const at::Tensor& vectors, const Control& control) const {
  control.check();
  return vector_products(vectors, factors_);
}

}  // namespace attribution
