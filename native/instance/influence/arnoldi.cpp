// Arnoldi's iteration (Schioppa et al. 2022): an orthonormal basis of the Krylov space of H and a random vector, and
// H's eigenpairs in it. H is symmetric, but every new vector is made orthogonal to all before it: rounding would undo
// the short recurrence.
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

#include "core/error.h"
#include "instance/influence/solvers.h"

namespace attribution {
namespace {

/// Takes the basis [n, parameter] out of `vector`, twice against rounding; the coefficients [n].
at::Tensor orthogonalise(at::Tensor& vector, const at::Tensor& basis) {
  at::Tensor coefficients;
  for (int pass = 0; pass < 2; ++pass) {
    const at::Tensor part = at::mv(basis, vector);
    vector.sub_(at::mv(basis.t(), part));
    coefficients = pass == 0 ? part : coefficients + part;
  }
  return coefficients.to(at::kCPU, at::kDouble);
}

at::Tensor random_unit(int64_t parameters, at::TensorOptions type, int64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
  const at::Tensor vector = at::empty({parameters}, type.device(at::kCPU).dtype(at::kDouble)).normal_(0, 1, generator);
  return (vector / vector.norm()).to(type);
}

void check_memory(int64_t parameters, at::TensorOptions type, const InfluenceOptions& o) {
  const int64_t bytes = (o.iterations + o.rank + 4) * parameters * static_cast<int64_t>(type.dtype().itemsize());
  if (bytes > o.memory_bytes)
    fail(Code::memory, "A Krylov space of ", o.iterations, " vectors takes ", bytes >> 20, " MB, but the budget is ",
         o.memory_bytes >> 20, " MB: raise \"memory\", or lower \"iterations\" or select fewer \"parameters\"");
}

}  // namespace

Eigenpairs arnoldi(const Curvature& curvature, int64_t parameters, at::TensorOptions type, const InfluenceOptions& o,
                   const Control& control) {
  check_memory(parameters, type, o);
  const int64_t most = std::min(o.iterations, parameters);
  const double rounding = 10 * (type.dtype() == at::ScalarType::Double ? std::numeric_limits<double>::epsilon()
                                                                       : std::numeric_limits<float>::epsilon());
  at::Tensor basis = at::empty({most + 1, parameters}, type);
  at::Tensor projected = at::zeros({most, most}, at::kDouble);  // basisᵀ H basis
  basis[0].copy_(random_unit(parameters, type, o.seed));
  int64_t size = 0;
  double rest = 0, largest = 0;
  while (size < most) {
    control.progress(size, most, "Krylov space");
    at::Tensor next = curvature.mean_products(basis.narrow(0, size, 1), control).squeeze(0);
    largest = std::max(largest, next.norm().item<double>());
    projected.select(1, size).narrow(0, 0, size + 1).copy_(orthogonalise(next, basis.narrow(0, 0, size + 1)));
    rest = next.norm().item<double>();
    ++size;
    if (rest <= rounding * largest) break;  // the space is whole: H leads out of it no more
    if (size < most) projected[size][size - 1] = rest;
    basis[size].copy_(next / rest);
  }
  const at::Tensor square = projected.narrow(0, 0, size).narrow(1, 0, size);
  const auto [values, vectors] = at::linalg_eigh((square + square.t()) / 2);
  const at::Tensor order = values.abs().argsort(0, true);
  const int64_t strong = values.abs().gt(rounding * values.abs().max()).sum().item<int64_t>();
  const at::Tensor kept = order.narrow(0, 0, std::min(o.rank, strong));
  const at::Tensor coordinates = vectors.index_select(1, kept);  // [space, pair]
  const double residual =
      strong == 0 ? 0 : (rest * coordinates[size - 1].abs().max() / values.abs().max()).item<double>();
  return {values.index_select(0, kept), at::mm(coordinates.t().to(type), basis.narrow(0, 0, size)), size, residual};
}

}  // namespace attribution
