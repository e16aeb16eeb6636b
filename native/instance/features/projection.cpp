#include "instance/features/projection.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace attribution {
namespace {

/// splitmix64: a counter through a mixer, the same everywhere.
struct Stream {
  uint64_t state;

  uint64_t next() {
    uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  /// Below n; off by at most n / 2⁶⁴.
  int64_t below(int64_t n) {
    return static_cast<int64_t>((static_cast<unsigned __int128>(next()) * static_cast<uint64_t>(n)) >> 64);
  }
  /// Within 0–1, neither end.
  double uniform() { return (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53; }
};

uint64_t start(uint64_t seed, const std::string& name) {
  Stream stream{seed};
  uint64_t hash = stream.next();
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

}  // namespace

at::Tensor projection_matrix(ProjectionKind kind, int64_t rank, int64_t width, uint64_t seed, const std::string& name) {
  at::Tensor matrix = at::empty({rank, width}, at::kFloat);
  float* values = matrix.data_ptr<float>();
  Stream stream{start(seed, name)};
  const double scale = 1 / std::sqrt(static_cast<double>(rank));
  for (int64_t i = 0; i < rank * width; i += 2) {
    double pair[2];
    if (kind != ProjectionKind::rademacher) {  // Box-Muller
      const double radius = std::sqrt(-2 * std::log(stream.uniform())), angle = 2 * M_PI * stream.uniform();
      pair[0] = radius * std::cos(angle);
      pair[1] = radius * std::sin(angle);
    } else {
      const uint64_t bits = stream.next();
      pair[0] = bits & 1 ? 1 : -1;
      pair[1] = bits & 2 ? 1 : -1;
    }
    for (int64_t k = 0; k < 2 && i + k < rank * width; ++k) values[i + k] = static_cast<float>(pair[k] * scale);
  }
  return matrix;
}

at::Tensor SparseProjection::apply(const at::Tensor& x) const {
  return at::zeros({x.size(0), features}, x.options()).index_add_(1, buckets, x * signs.to(x.scalar_type()));
}

SparseProjection sparse_projection(int64_t features, int64_t width, uint64_t seed, const std::string& name) {
  SparseProjection projection{at::empty({width}, at::kLong), at::empty({width}, at::kFloat), features};
  Stream stream{start(seed, name)};
  for (int64_t i = 0; i < width; ++i) {
    projection.buckets.data_ptr<int64_t>()[i] = stream.below(features);
    projection.signs.data_ptr<float>()[i] = stream.next() & 1 ? 1.0F : -1.0F;
  }
  return projection;
}

at::Tensor random_places(int64_t kept, int64_t width, uint64_t seed, const std::string& name) {
  std::vector<int64_t> places(static_cast<size_t>(width));
  std::iota(places.begin(), places.end(), 0);
  Stream stream{start(seed, name)};
  for (int64_t i = 0; i < kept; ++i) std::swap(places[i], places[i + stream.below(width - i)]);
  places.resize(static_cast<size_t>(kept));
  std::sort(places.begin(), places.end());
  return at::tensor(places, at::kLong);
}

}  // namespace attribution
