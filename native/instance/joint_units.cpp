#include "instance/joint_units.h"

#include <algorithm>

#include "core/error.h"
#include "instance/gradients/module_products.h"
#include "model/linear.h"

namespace attribution {
namespace {

using Axis = UnitModule::Axis;

bool is_mlp(const Architecture& a, ModuleId id) { return neurons_of(a, id).count > 0; }
bool reads_neurons(Module m) { return m == Module::down || m == Module::expert_down || m == Module::shared_down; }
bool is_attention(Module m) {
  return m == Module::qkv || m == Module::query || m == Module::key || m == Module::value ||
         m == Module::attention_output;
}

/// Parts of key-value heads, shared evenly by the heads of their groups: [.., key-value head] → [.., head].
at::Tensor shared_by_group(const Architecture& a, const at::Tensor& parts) {
  const int64_t group = a.heads / a.key_value_heads;
  return (parts / static_cast<double>(group)).repeat_interleave(group, -1);
}

/// Parts of rows or columns [.., line] as parts of `heads` heads [.., head].
at::Tensor by_head(const Architecture& a, const at::Tensor& lines, int64_t heads) {
  return lines.unflatten(-1, {heads, a.head_size}).sum(-1);
}

/// Parts of a fused projection's rows: queries, then keys, then values; or each key-value head's own together.
at::Tensor fused_by_head(const Architecture& a, const at::Tensor& lines) {
  if (a.qkv == QkvLayout::concatenated) {
    const auto kinds = lines.split_with_sizes({a.query_width(), a.key_value_width(), a.key_value_width()}, -1);
    return by_head(a, kinds[0], a.heads) + shared_by_group(a, by_head(a, kinds[1] + kinds[2], a.key_value_heads));
  }
  const int64_t group = a.heads / a.key_value_heads;
  const at::Tensor own = lines.unflatten(-1, {a.key_value_heads, group + 2, a.head_size}).sum(-1);
  return own.narrow(-1, 0, group).flatten(-2) + shared_by_group(a, own.narrow(-1, group, 2).sum(-1));
}

/// Parts of rows or columns [.., line] as parts of units [.., unit].
at::Tensor by_unit(const Architecture& a, Module module, const at::Tensor& lines) {
  if (module == Module::gate_up) return lines.unflatten(-1, {2, a.dense_width()}).sum(-2);
  if (!is_attention(module)) return lines;
  if (module == Module::qkv) return fused_by_head(a, lines);
  if (module == Module::key || module == Module::value) return shared_by_group(a, by_head(a, lines, a.key_value_heads));
  return by_head(a, lines, a.heads);
}

/// Matrices [source, line, other] against gradients [instance, line, other]: [source, instance, line].
at::Tensor dense_lines(const at::Tensor& matrices, const at::Tensor& gradients) {
  return at::bmm(matrices.permute({1, 0, 2}), gradients.permute({1, 2, 0})).permute({1, 2, 0});
}

/// Σ_t lines_t[l] (V_s others_t)[l] of each instance, [source, instance, line], by the cheaper way: V times every
/// token, or the instances' own gradients first.
at::Tensor token_lines(const at::Tensor& matrices, const at::Tensor& lines, const at::Tensor& others,
                       const ModuleFactors& m, int64_t instances) {
  const int64_t sources = matrices.size(0), tokens = lines.size(0), line = lines.size(1), other = others.size(1);
  std::vector<at::Tensor> parts;
  if (sources * tokens <= tokens + sources * instances) {
    for (int64_t s = 0; s < sources; ++s)
      parts.push_back(instance_sums(product(others, matrices[s]) * lines, m.instance, instances));
    return at::stack(parts);
  }
  const auto offsets = token_offsets(m, instances);
  const int64_t block = std::max<int64_t>(1, (int64_t{32} << 20) / (line * other));  // 128 MB of floats at a time
  for (int64_t first = 0; first < instances; first += block) {
    const int64_t count = std::min(block, instances - first);
    at::Tensor gradients = at::empty({count, line, other}, lines.options());
    for (int64_t i = 0; i < count; ++i) {
      const int64_t begin = offsets[first + i], length = offsets[first + i + 1] - begin;
      at::Tensor gradient = gradients[i];
      at::mm_out(gradient, lines.narrow(0, begin, length).t(), others.narrow(0, begin, length));
    }
    parts.push_back(dense_lines(matrices, gradients));
  }
  return at::cat(parts, 1);
}

void add_units(UnitParts& parts, const Architecture& a, const UnitModule& unit, const at::Tensor& lines) {
  parts.units.narrow(2, unit.first, unit.units).add_(by_unit(a, unit.module, lines));
}

/// [instance, output] · [source, output]: the bias's part, by row to the units or summed to the rest.
void add_bias(UnitParts& parts, const Architecture& a, const UnitModule& unit, const at::Tensor& vectors,
              const at::Tensor& gradients) {
  if (unit.axis == Axis::rows) {
    add_units(parts, a, unit, vectors.unsqueeze(1) * gradients.unsqueeze(0));
  } else {
    parts.rest.add_(at::mm(vectors, gradients.t()));
  }
}

/// All of a module that has no units.
void add_rest(UnitParts& parts, const at::Tensor& vectors, const ModuleFactors& m, int64_t instances) {
  at::Tensor products = at::zeros({vectors.size(0), instances}, vectors.options());
  add_vector_products(products, vectors, m, instances);
  parts.rest.add_(products);
}

at::Tensor high(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

/// Values [n, kept] of a projected side on its whole width.
at::Tensor unprojected(const ProjectedSide& side, const at::Tensor& x, int64_t width) {
  if (side.matrix.defined()) return at::mm(x, side.matrix.to(x.scalar_type()));
  if (!side.places.defined()) return x;
  return at::zeros({x.size(0), width}, x.options()).index_copy(1, side.places, x * side.scale);
}

ModuleFactors chosen_module(const ModuleFactors& m, const at::Tensor& tokens, const at::Tensor& instance) {
  ModuleFactors own = m;
  if (m.inputs.defined()) own.inputs = m.inputs.index_select(0, tokens);
  own.gradients = m.gradients.index_select(0, tokens);
  own.instance = instance;
  if (m.tokens.defined()) own.tokens = m.tokens.index_select(0, tokens);
  return own;
}

ModuleFactors chosen_module(const ModuleFactors& m, int64_t instances, const std::vector<int64_t>& chosen) {
  const auto offsets = token_offsets(m, instances);
  std::vector<int64_t> tokens, owners;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const auto at = static_cast<size_t>(chosen[i]);
    for (int64_t t = offsets[at]; t < offsets[at + 1]; ++t) {
      tokens.push_back(t);
      owners.push_back(static_cast<int64_t>(i));
    }
  }
  const auto index = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::kLong).to(m.gradients.device());
  };
  ModuleFactors own = chosen_module(m, index(tokens), index(owners));
  if (m.head) own.head = std::make_shared<ModuleFactors>(chosen_module(*m.head, instances, chosen));
  return own;
}

template <typename Change>
Factors changed(const Factors& factors, const Change& change) {
  Factors own = factors;
  for (ModuleFactors& m : own.modules) {
    change(m);
    if (!m.head) continue;
    m.head = std::make_shared<ModuleFactors>(*m.head);
    change(*m.head);
  }
  return own;
}

}  // namespace

UnitLayout unit_layout(const Architecture& a, const ModuleSelection& modules) {
  UnitLayout layout{a.layers, 0, 0};
  for (size_t i = 0; i < modules.size(); ++i) {
    if (is_mlp(a, modules.id(i))) layout.neurons = a.intermediate;
    if (is_attention(modules.id(i).module)) layout.heads = a.heads;
  }
  if (layout.per_layer() == 0)
    fail(Code::unsupported,
         "No unit has weights among the attribution's parameters: make it with \"mlp\", \"attention\", \"linear\" or "
         "\"all\"");
  return layout;
}

std::vector<UnitModule> unit_modules(const Architecture& a, const ModuleSelection& modules, const UnitLayout& layout) {
  std::vector<UnitModule> all;
  for (size_t i = 0; i < modules.size(); ++i) {
    const ModuleId id = modules.id(i);
    UnitModule unit;
    unit.module = id.module;
    const NeuronRange neurons = neurons_of(a, id);
    const bool column = reads_neurons(id.module) || id.module == Module::attention_output;
    const bool inside = id.part == (column ? Part::b : Part::a);  // the side of an adapter that touches no unit
    if ((neurons.count > 0 || is_attention(id.module)) && !inside) {
      unit.axis = column ? Axis::columns : Axis::rows;
      unit.first = id.layer * layout.per_layer() + (neurons.count > 0 ? neurons.first : layout.neurons);
      unit.units = neurons.count > 0 ? neurons.count : a.heads;
    }
    all.push_back(unit);
  }
  return all;
}

UnitParts zero_parts(int64_t sources, int64_t instances, const UnitLayout& layout, at::TensorOptions type) {
  return {at::zeros({sources, instances, layout.total()}, type), at::zeros({sources, instances}, type)};
}

void add_parts(UnitParts& parts, const Architecture& a, const UnitModule& unit, const at::Tensor& vectors,
               const ModuleFactors& m, int64_t instances) {
  if (unit.axis == Axis::none) return add_rest(parts, vectors, m, instances);
  const at::Tensor inputs = high(m.inputs), gradients = high(m.gradients);
  const int64_t output = gradients.size(1), input = inputs.size(1);
  const at::Tensor matrices = high(vectors.narrow(1, 0, output * input)).unflatten(1, {output, input});
  add_units(parts, a, unit,
            unit.axis == Axis::rows ? token_lines(matrices, gradients, inputs, m, instances)
                                    : token_lines(matrices.transpose(1, 2), inputs, gradients, m, instances));
  if (m.bias)
    add_bias(parts, a, unit, high(vectors.narrow(1, output * input, output)),
             instance_sums(gradients, m.instance, instances));
}

void add_dense_parts(UnitParts& parts, const Architecture& a, const UnitModule& unit, const at::Tensor& vectors,
                     const at::Tensor& gradient, int64_t outputs, int64_t inputs) {
  if (unit.axis == Axis::none) {
    parts.rest.add_(at::mm(high(vectors), gradient.t()));
    return;
  }
  const int64_t size = outputs * inputs;
  const at::Tensor own = high(vectors.narrow(1, 0, size)).unflatten(1, {outputs, inputs}),
                   sum = gradient.narrow(1, 0, size).unflatten(1, {outputs, inputs});
  const int64_t across = unit.axis == Axis::rows ? 2 : 1;
  for (int64_t s = 0; s < own.size(0); ++s) {
    const at::Tensor lines = (own.narrow(0, s, 1) * sum).sum(across).unsqueeze(1);
    parts.units.narrow(0, s, 1).narrow(2, unit.first, unit.units).add_(by_unit(a, unit.module, lines));
  }
  if (vectors.size(1) > size)
    add_bias(parts, a, unit, high(vectors.narrow(1, size, outputs)), gradient.narrow(1, size, outputs));
}

void add_projected_parts(UnitParts& parts, const Architecture& a, const UnitModule& unit, const ModuleProjection& p,
                         const at::Tensor& vectors, const ModuleFactors& m, const ModuleFactors& projected,
                         int64_t instances) {
  if (unit.axis == Axis::none) return add_rest(parts, vectors, projected, instances);
  const bool rows = unit.axis == Axis::rows;
  const at::Tensor inputs = high(m.inputs), gradients = high(m.gradients);
  const at::Tensor matrices = high(vectors).unflatten(1, {p.output.width, p.input.width});
  for (int64_t s = 0; s < vectors.size(0); ++s) {
    const at::Tensor own = parts.units.narrow(0, s, 1).narrow(2, unit.first, unit.units);
    const at::Tensor seen =
        rows ? unprojected(p.output, product(projected.inputs, matrices[s]), gradients.size(1))
             : unprojected(p.input, product(projected.gradients, matrices[s].t()), inputs.size(1) + (p.bias ? 1 : 0));
    const at::Tensor lines = rows ? seen * gradients : seen.narrow(1, 0, inputs.size(1)) * inputs;
    own.add_(by_unit(a, unit.module, instance_sums(lines, m.instance, instances)).unsqueeze(0));
    if (!rows && p.bias) parts.rest.select(0, s).index_add_(0, m.instance, seen.select(1, inputs.size(1)));
  }
}

Factors chosen_factors(const Factors& factors, const std::vector<int64_t>& chosen) {
  Factors own{{}, static_cast<int64_t>(chosen.size())};
  for (const ModuleFactors& m : factors.modules) own.modules.push_back(chosen_module(m, factors.instances, chosen));
  return own;
}

Factors scaled_factors(const Factors& factors, const at::Tensor& scales) {
  return changed(factors, [&](ModuleFactors& m) {
    const at::Tensor own = scales.to(m.gradients.options()).index_select(0, m.instance);
    m.gradients = m.gradients * own.unsqueeze(1);
  });
}

Factors summed_factors(const Factors& factors) {
  Factors own = changed(factors, [](ModuleFactors& m) { m.instance = at::zeros_like(m.instance); });
  own.instances = 1;
  return own;
}

}  // namespace attribution
