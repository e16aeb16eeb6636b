#include "model/norm.h"

namespace attribution {
namespace {

/// As transformers: normalised in float. Scaled there too where the weight is an offset from 1, else in the model's
/// type.
at::Tensor rms_norm(const Architecture& a, const at::Tensor& weight, const at::Tensor& x) {
  const auto high = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor wide = x.to(high);
  const at::Tensor unit = wide * at::rsqrt(wide.square().mean(-1, true) + a.norm_epsilon);
  if (!weight.defined()) return unit.to(x.scalar_type());
  if (a.norm_weight == NormWeight::offset) return (unit * (weight.to(high) + 1)).to(x.scalar_type());
  return weight * unit.to(x.scalar_type());
}

at::Tensor layer_norm(const Architecture& a, at::Tensor weight, const at::Tensor& bias, const at::Tensor& x) {
  if (weight.defined() && a.norm_weight == NormWeight::offset) weight = weight + 1;
  return at::layer_norm(x, {x.size(-1)}, weight, bias, a.norm_epsilon);
}

}  // namespace

at::Tensor apply(const Architecture& a, const Norm& norm, const at::Tensor& x) {
  return a.norm == NormKind::rms ? rms_norm(a, norm.weight, x) : layer_norm(a, norm.weight, norm.bias, x);
}

at::Tensor apply(const Model& model, ModuleId id, const at::Tensor& x) {
  const Norm& norm = model.weights[id];
  return id.module == Module::output_bias ? x + norm.weight : apply(model.architecture, norm, x);
}

at::Tensor normalised(const Architecture& a, ModuleId id, const at::Tensor& x) {
  if (id.module == Module::output_bias) return at::ones_like(x);
  return a.norm == NormKind::rms ? rms_norm(a, {}, x) : layer_norm(a, {}, {}, x);
}

at::Tensor run_norm(const Model& model, ModuleId id, const at::Tensor& x, const Hooks& hooks) {
  return hooks.norm ? hooks.norm(id, model.weights[id], x) : apply(model, id, x);
}

}  // namespace attribution
