#include "model/norm.h"

namespace attribution {
namespace {

bool is_rms(const Norm& norm) { return !norm.bias.defined(); }

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  const auto high = x.scalar_type() == at::kDouble
                        ? at::kDouble
                        : at::kFloat;  // as transformers: normalised in float, scaled in the model's type
  const at::Tensor wide = x.to(high);
  const at::Tensor unit = (wide * at::rsqrt(wide.square().mean(-1, true) + epsilon)).to(x.scalar_type());
  return weight.defined() ? weight * unit : unit;
}

at::Tensor apply(const Architecture& a, const Norm& norm, const at::Tensor& x) {
  if (is_rms(norm)) return rms_norm(x, norm.weight, a.norm_epsilon);
  return at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, a.norm_epsilon);
}

at::Tensor normalised(const Architecture& a, const Norm& norm, const at::Tensor& x) {
  return is_rms(norm) ? rms_norm(x, {}, a.norm_epsilon) : at::layer_norm(x, {x.size(-1)}, {}, {}, a.norm_epsilon);
}

at::Tensor run_norm(const Model& model, ModuleId id, const at::Tensor& x, const Hooks& hooks) {
  const Norm& norm = model.weights[id];
  return hooks.norm ? hooks.norm(id, norm, x) : apply(model.architecture, norm, x);
}

}  // namespace attribution
