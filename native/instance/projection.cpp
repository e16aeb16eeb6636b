#include "instance/projection.h"

#include <cmath>

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
    if (kind == ProjectionKind::gaussian) {  // Box-Muller
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

}  // namespace attribution
