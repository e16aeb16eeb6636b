#include "model/norm.h"

namespace attribution {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  const auto high = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;  // as transformers: normalised in float, scaled in the model's type
  const at::Tensor wide = x.to(high);
  return weight * (wide * at::rsqrt(wide.square().mean(-1, true) + epsilon)).to(x.scalar_type());
}

at::Tensor apply(const Architecture& a, const Norm& norm, const at::Tensor& x) {
  if (a.norm == NormKind::rms) return rms_norm(x, norm.weight, a.norm_epsilon);
  return at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, a.norm_epsilon);
}

}  // namespace attribution
