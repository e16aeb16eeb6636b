// What units write: the output projections behind a site. Of a layer with experts, each expert's own, times the weight
// with which the router sends the row there. So units of an expert that is not chosen write nothing.
#pragma once
#include <ATen/ATen.h>

#include "model/prefix/prefix_cache.h"

namespace attribution {

/// What all units of a row write together, bias included, [row, hidden], of values [row, width].
at::Tensor written_by(const Model& model, Site site, int64_t layer, const at::Tensor& values, const Routing& routing);
/// Gradients in what is written [copy * row, hidden] as gradients in the units, [copy * row, width].
at::Tensor pulled_back(const Model& model, Site site, int64_t layer, const at::Tensor& gradients,
                       const Routing& routing);
/// The column of the output projection that a neuron, or the features of a head, write by, [hidden, feature]; without
/// the router's weight.
at::Tensor unit_columns(const Model& model, Site site, int64_t layer, int64_t unit);
/// The norms of all neurons' columns, times the router's weights, [row or 1, unit].
at::Tensor column_norms(const Model& model, int64_t layer, const Routing& routing);

/// The units of a layer that write anything: all, or of each row those of its experts.
class WritingUnits {
 public:
  WritingUnits(const Model& model, Site site, int64_t layer, const Routing& routing);

  int64_t count() const { return count_; }  // of each row
  /// Writes of the units first … first + count, [row, unit, hidden]: (w − w⁰)ᵢ vᵢ, of a head the sum over its features.
  /// `change` is w − w⁰, [row, width].
  at::Tensor writes(const at::Tensor& change, int64_t first, int64_t count) const;
  /// Their scores [row, count()] as those of all units of the site, the others 0.
  at::Tensor among_all(const at::Tensor& scores) const;

 private:
  at::Tensor expert_writes(const at::Tensor& change, int64_t first, int64_t count) const;

  const Model& model_;
  const Site site_;
  const int64_t layer_;
  Routing routing_;
  at::Tensor units_;  // [row, count] places among the layer's units; undefined where those are all
  int64_t count_;
};

}  // namespace attribution
