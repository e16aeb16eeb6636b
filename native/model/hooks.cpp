#include "model/hooks.h"

namespace attribution {

at::Tensor drop(const at::Tensor& x, double probability, const Hooks& hooks) {
  if (!hooks.dropout || probability <= 0) return x;
  const double keep = 1 - probability;
  return x * at::empty_like(x).bernoulli_(keep, hooks.dropout->generator) / keep;
}

int64_t site_width(const Architecture& a, Site site) { return site == Site::heads ? a.query_width() : a.intermediate; }

int64_t site_units(const Architecture& a, Site site) { return site == Site::heads ? a.heads : a.intermediate; }

}  // namespace attribution
