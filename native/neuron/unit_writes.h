// What single units write: the residual's change when a unit goes from its value to another. Columns of the output
// projection.
#pragma once
#include "neuron/neuron_scores.h"

namespace attribution {

/// Writes of the units first … first + count of a layer, [row, unit, hidden]: (w − w⁰)ᵢ vᵢ, of a head the sum over its
/// features. `change` is w − w⁰, [row, width].
inline at::Tensor unit_writes(const Model& model, Site site, int64_t layer, const at::Tensor& change, int64_t first,
                              int64_t count) {
  const Architecture& a = model.architecture;
  const at::Tensor columns = site_output(model, site, layer).matrix().t();  // [width, hidden]
  if (site == Site::neurons)
    return change.narrow(1, first, count).unsqueeze(2) * columns.narrow(0, first, count).unsqueeze(0);
  const int64_t size = a.head_size;
  const at::Tensor slices = columns.narrow(0, first * size, count * size).reshape({1, count, size, a.hidden});
  return at::matmul(change.narrow(1, first * size, count * size).reshape({-1, count, 1, size}), slices).squeeze(2);
}

}  // namespace attribution
