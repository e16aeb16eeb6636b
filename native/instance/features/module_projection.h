// How one module's gradient becomes features, by its kind. A linear module's gradient [output, input] is projected on
// both sides; an embedding's table [row, feature] is such a matrix whose output gradients are the tokens' unit vectors,
// so that its output side is a lookup in the projection; a norm's gradient is one vector, which is projected as a
// whole.
#pragma once
#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "instance/features/projection.h"
#include "instance/gradients/modules.h"
#include "model/loss.h"

namespace attribution {

struct FeatureSettings {
  std::vector<std::string> modules;
  int64_t rank = 16;  // of each side; rank² features of a module, or of all together (dense); 0: not projected
  int64_t mask = 64;  // inputs and outputs kept of a module, factored_sparse only
  ProjectionKind projection = ProjectionKind::gaussian;
  uint64_t seed = 42;
  at::Tensor bases;  // pca: the directions of every side that is longer than the rank, and of every norm longer than
                     // rank², [direction, width] one after the other, flat
  Reduction reduction = Reduction::sum;
};

/// One side of a gradient matrix.
struct ProjectedSide {
  at::Tensor matrix;  // [rank, width]; or
  at::Tensor places;  // [kept], with the scale; or neither: whole
  double scale = 1;
  int64_t width = 0;  // of what is left

  bool is_whole() const { return !matrix.defined() && !places.defined(); }
  /// [token, whole width] → [token, width]
  at::Tensor operator()(const at::Tensor& x) const;
  /// The same with a 1 appended to each row.
  at::Tensor with_one(const at::Tensor& x) const;
  /// The same of unit vectors, given by their places [token]; not of a whole side.
  at::Tensor of_units(const at::Tensor& units, at::TensorOptions type) const;
};

struct ModuleProjection {
  ModuleKind kind = ModuleKind::linear;
  ProjectedSide input, output;  // linear (an input has a trailing 1 with a bias) and lookup
  bool bias = false;
  int64_t rows = 0;         // lookup: of the table
  int64_t width = 0;        // of the gradient, its sides projected
  at::Tensor whole;         // [feature, width]: dense, and a norm's
  SparseProjection sparse;  // sparse, factored_sparse

  int64_t features() const { return whole.defined() ? whole.size(0) : sparse.features > 0 ? sparse.features : width; }
  /// Whether gradients go through a projection of the whole.
  bool takes_whole() const { return whole.defined() || sparse.features > 0; }
  /// Adds the features of gradients [instance, width] to `result` [instance, feature].
  void add(at::Tensor result, const at::Tensor& gradients) const;
};

/// Walks over the principal directions in the order in which the modules take them.
struct Bases {
  at::Tensor values;
  int64_t read = 0;

  at::Tensor next(int64_t directions, int64_t width);
};

ModuleProjection module_projection(const Model& model, ModuleId id, const FeatureSettings& settings, Bases& bases);

/// Principal directions of a vocabulary or of positions are refused, naming the module.
void refuse_table_directions(const Architecture& architecture, ModuleId id);

}  // namespace attribution
