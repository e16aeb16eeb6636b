// Random projections that depend on (seed, module, side) only: the same on every device, batch size and order.
#pragma once
#include <ATen/ATen.h>

#include <cstdint>
#include <string>

namespace attribution {

enum class ProjectionKind {
  gaussian,         // both sides of a module's gradient by a Gaussian matrix (LoGra, Choe et al. 2024)
  rademacher,       // the same with entries ±
  pca,              // both sides by the principal directions of inputs and output gradients, given
  dense,            // the gradient of all modules as one vector, by one Gaussian matrix (Johnson-Lindenstrauss)
  sparse,           // a module's whole gradient, one non-zero per column (SJLT, Kane and Nelson 2014)
  factored_sparse,  // a random part of both sides, then their products as with `sparse` (FactGraSS, Hu et al. 2025)
};

/// [rank, width] with entries of mean 0 and variance 1 / rank, so that ⟨P x, P y⟩ has mean ⟨x, y⟩; Rademacher, else
/// Gaussian.
at::Tensor projection_matrix(ProjectionKind kind, int64_t rank, int64_t width, uint64_t seed, const std::string& name);

/// A matrix [features, width] with one entry of ±1 in each column: ⟨S x, S y⟩ has mean ⟨x, y⟩.
struct SparseProjection {
  at::Tensor buckets;  // [width] the entry's row
  at::Tensor signs;    // [width]
  int64_t features = 0;

  at::Tensor apply(const at::Tensor& x) const;  // [n, width] → [n, features]
};
SparseProjection sparse_projection(int64_t features, int64_t width, uint64_t seed, const std::string& name);

/// `kept` different places of 0 … width − 1, rising, [kept]. Scaled by √(width / kept), products over them have the
/// whole one's mean.
at::Tensor random_places(int64_t kept, int64_t width, uint64_t seed, const std::string& name);

}  // namespace attribution
