#include "instance/features/module_projection.h"

#include <cmath>

#include "core/error.h"
#include "model/linear.h"

namespace attribution {
namespace {

constexpr int64_t most_dense = int64_t{1} << 29;  // entries of a module's dense projection: 2 GB of floats

at::Tensor with_ones(const at::Tensor& x) { return at::cat({x, at::ones({x.size(0), 1}, x.options())}, 1); }

bool keeps_sides(ProjectionKind kind) { return kind == ProjectionKind::dense || kind == ProjectionKind::sparse; }

ProjectedSide side_of(const Model& model, const FeatureSettings& s, int64_t width, const std::string& name,
                      Bases& bases) {
  ProjectedSide side;
  const int64_t kept = s.projection == ProjectionKind::factored_sparse ? s.mask : s.rank;
  const bool is_whole = s.rank == 0 || kept >= width || keeps_sides(s.projection);
  side.width = is_whole ? width : kept;
  if (is_whole) return side;
  if (s.projection == ProjectionKind::factored_sparse) {
    side.places = random_places(kept, width, s.seed, name).to(model.device);
    side.scale = std::sqrt(static_cast<double>(width) / static_cast<double>(kept));
  } else {
    side.matrix = (s.projection == ProjectionKind::pca ? bases.next(kept, width)
                                                       : projection_matrix(s.projection, kept, width, s.seed, name))
                      .to(model.options());
  }
  return side;
}

void project_whole(ModuleProjection& p, const Model& model, const FeatureSettings& s, const std::string& name) {
  const int64_t features = s.rank * s.rank;
  if (s.projection == ProjectionKind::dense) {
    if (p.width > most_dense / features)
      fail(Code::memory, "A dense projection of ", name, " would take ", features, " × ", p.width,
           " values: it is for small models. Choose a smaller \"rank\" or \"sparse\"");
    p.whole = projection_matrix(s.projection, features, p.width, s.seed, name + ".dense").to(model.device);
  } else if (s.projection == ProjectionKind::sparse || s.projection == ProjectionKind::factored_sparse) {
    p.sparse = sparse_projection(features, p.width, s.seed, name + ".sparse");
    p.sparse.buckets = p.sparse.buckets.to(model.device);
    p.sparse.signs = p.sparse.signs.to(model.device);
  }
}

/// A norm's vector is kept where it has at most rank² numbers, and else projected to so many.
void project_norm(ModuleProjection& p, const Model& model, const FeatureSettings& s, const std::string& name,
                  Bases& bases) {
  const int64_t features = s.rank * s.rank;
  const bool together = s.projection == ProjectionKind::dense;
  if (s.rank == 0 || (features >= p.width && !together)) return;
  if (s.projection > ProjectionKind::pca) return project_whole(p, model, s, name);
  p.whole = (s.projection == ProjectionKind::pca
                 ? bases.next(features, p.width)
                 : projection_matrix(s.projection, features, p.width, s.seed, name + ".vector"))
                .to(model.device);
}

}  // namespace

at::Tensor ProjectedSide::operator()(const at::Tensor& x) const {
  if (matrix.defined()) return product(x, matrix);
  return places.defined() ? x.index_select(1, places) * scale : x;
}

at::Tensor ProjectedSide::with_one(const at::Tensor& x) const {
  if (!matrix.defined()) return (*this)(with_ones(x));
  const int64_t last = x.size(1);  // P [x; 1] = P_x x + p: the appended 1 is a bias of the projection
  return product(x, matrix.narrow(1, 0, last).contiguous(), matrix.select(1, last).contiguous());
}

at::Tensor ProjectedSide::of_units(const at::Tensor& units, at::TensorOptions type) const {
  if (matrix.defined()) return matrix.index_select(1, units).t();
  return units.unsqueeze(1).eq(places.unsqueeze(0)).to(type.dtype().toScalarType()) * scale;
}

void ModuleProjection::add(at::Tensor result, const at::Tensor& gradients) const {
  if (whole.defined()) {
    result.add_(product(gradients, whole.to(gradients.scalar_type())));
  } else {
    result.add_(sparse.features > 0 ? sparse.apply(gradients) : gradients);
  }
}

at::Tensor Bases::next(int64_t directions, int64_t width) {
  if (!values.defined() || read + directions * width > values.numel())
    fail(Code::mismatch, "The principal directions do not fit the modules and the rank");
  const at::Tensor own = values.narrow(0, read, directions * width).view({directions, width});
  read += directions * width;
  return own;
}

void refuse_table_directions(const Architecture& a, ModuleId id) {
  if (kind_of(id.module) == ModuleKind::lookup)
    fail(Code::unsupported, "\"pca\" cannot take \"", module_name(a, id),
         "\": the principal directions of a table's rows are its most frequent rows. Choose another \"projection\"");
}

ModuleProjection module_projection(const Model& model, ModuleId id, const FeatureSettings& s, Bases& bases) {
  if (s.projection == ProjectionKind::pca) refuse_table_directions(model.architecture, id);
  const Parameters& own = parameters_of(model, id);
  const std::string name = module_name(model.architecture, id);
  ModuleProjection p;
  p.kind = kind_of(id.module);
  if (p.kind == ModuleKind::norm) {
    p.width = own.weight.numel() + (own.bias.defined() ? own.bias.numel() : 0);
    project_norm(p, model, s, name, bases);
    return p;
  }
  const at::Tensor matrix = own.matrix();
  p.bias = own.bias.defined();
  if (p.kind == ModuleKind::lookup) p.rows = matrix.size(0);
  p.input = side_of(model, s, matrix.size(1) + (p.bias ? 1 : 0), name + ".input", bases);
  p.output = side_of(model, s, matrix.size(0), name + ".output", bases);
  p.width = p.input.width * p.output.width;
  project_whole(p, model, s, name);
  return p;
}

}  // namespace attribution
