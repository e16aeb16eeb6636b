// EK-FAC's inverse against the explicit matrices.
#include "instance/ekfac.h"

#include <ATen/ops/linalg_inv.h>

#include "harness.h"

namespace {

using attribution::EkfacModule;

EkfacModule random_module(int64_t output, int64_t columns, bool bias, uint64_t seed) {
  at::manual_seed(seed);
  const auto options = at::TensorOptions().dtype(at::kDouble);
  auto basis = [&](int64_t n) { return std::get<0>(at::linalg_qr(at::randn({n, n}, options))); };
  return {basis(columns), basis(output), at::rand({output, columns}, options) + 0.1, bias};
}

/// Row-major vec of [weight | bias] to the library's order: the weight, then the bias.
at::Tensor stored(const at::Tensor& matrix, bool bias) {
  if (!bias) return matrix.reshape({-1});
  return at::cat({matrix.narrow(1, 0, matrix.size(1) - 1).reshape({-1}), matrix.select(1, matrix.size(1) - 1)});
}

}  // namespace

TEST(ekfac_inverse_is_that_of_the_explicit_matrix) {
  const EkfacModule with = random_module(3, 5, true, 1), without = random_module(4, 2, false, 2);
  const double damping = 0.1;
  at::Tensor vectors = at::empty({2, 15 + 8}, at::kDouble), wanted = at::empty_like(vectors);
  int64_t place = 0;
  for (const EkfacModule& m : {with, without}) {
    // (Q_S ⊗ Q_A) diag(Λ + λ) (Q_S ⊗ Q_A)ᵀ over row-major [output, column]
    const at::Tensor basis = at::kron(m.output_basis, m.input_basis);
    const at::Tensor shifted = m.eigenvalues.reshape({-1}) + damping * m.eigenvalues.mean();
    const at::Tensor inverse = at::linalg_inv(at::matmul(basis * shifted, basis.t()));
    for (int64_t v = 0; v < 2; ++v) {
      const at::Tensor g = at::randn(m.eigenvalues.sizes(), at::kDouble);
      const at::Tensor solved = at::matmul(inverse, g.reshape({-1})).view(g.sizes());
      vectors[v].narrow(0, place, g.numel()).copy_(stored(g, m.bias));
      wanted[v].narrow(0, place, g.numel()).copy_(stored(solved, m.bias));
    }
    place += m.eigenvalues.numel();
  }
  const at::Tensor found = attribution::ekfac_inverse({with, without}, vectors, damping);
  CHECK_CLOSE((found - wanted).abs().max().item<double>(), 0, 1e-10);
}
