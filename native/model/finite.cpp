#include "model/finite.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

#include "core/error.h"

namespace attribution {
namespace {

constexpr size_t most_named = 8;

/// By the extremes, which a NaN becomes too: one pass, and no temporary tensor.
bool is_finite(const at::Tensor& values) {
  if (values.numel() == 0) return true;
  const auto [least, largest] = at::aminmax(values.detach());
  return std::isfinite(least.item<double>()) && std::isfinite(largest.item<double>());
}

}  // namespace

void fail_not_finite(const std::vector<int64_t>& instances) {
  const std::set<int64_t> sorted(instances.begin(), instances.end());
  std::ostringstream names;
  size_t named = 0;
  for (const int64_t i : sorted) {
    if (named == most_named) break;
    names << (named++ == 0 ? "" : ", ") << i;
  }
  if (sorted.size() > named) names << " and " << sorted.size() - named << " more";
  fail(Code::invalid, "The model's values are not finite for ", sorted.size() == 1 ? "instance " : "instances ",
       names.str(),
       ": they overflow or are NaN. Leave these instances out, or load the model with a wider \"dtype\"; evaluate() "
       "gives NaN for them");
}

void require_finite(const Batch& batch, const at::Tensor& values, const at::Tensor& owner) {
  if (is_finite(values)) return;
  const at::Tensor bad = at::isfinite(values.detach()).logical_not().reshape({values.size(0), -1}).any(1);
  const at::Tensor owners = owner.to(at::kCPU).index_select(0, bad.to(at::kCPU).nonzero().squeeze(1));
  std::vector<int64_t> instances;
  for (int64_t i = 0; i < owners.size(0); ++i)
    instances.push_back(batch.instances[static_cast<size_t>(owners[i].item<int64_t>())]);
  fail_not_finite(instances);
}

}  // namespace attribution
