// EK-FAC's inverse against the explicit matrices.
#include "instance/ekfac/ekfac.h"

#include <ATen/ops/linalg_inv.h>

#include "harness.h"
#include "instance/ekfac/sampled_labels.h"

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
  attribution::Factors factors;
  factors.instances = 2;  // of three tokens and of one
  std::vector<at::Tensor> wanted;
  for (const EkfacModule& m : {with, without}) {
    const int64_t input = m.input_basis.size(0) - (m.bias ? 1 : 0);
    const at::Tensor inputs = at::randn({4, input}, at::kDouble),
                     gradients = at::randn({4, m.output_basis.size(0)}, at::kDouble);
    factors.modules.push_back({inputs, gradients, at::tensor({0, 0, 0, 1}, at::kLong), {}, m.bias});
    // (Q_S ⊗ Q_A) diag(Λ + λ) (Q_S ⊗ Q_A)ᵀ over row-major [output, column]
    const at::Tensor basis = at::kron(m.output_basis, m.input_basis);
    const at::Tensor shifted = m.eigenvalues.reshape({-1}) + damping * m.eigenvalues.mean();
    const at::Tensor inverse = at::linalg_inv(at::matmul(basis * shifted, basis.t()));
    std::vector<at::Tensor> rows;
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 3}, {3, 1}}) {
      const at::Tensor seen = m.bias ? at::cat({inputs, at::ones({4, 1}, at::kDouble)}, 1) : inputs;
      const at::Tensor g = at::matmul(gradients.narrow(0, begin, count).t(), seen.narrow(0, begin, count));
      rows.push_back(stored(at::matmul(inverse, g.reshape({-1})).view(g.sizes()), m.bias));
    }
    wanted.push_back(at::stack(rows));
  }
  const at::Tensor found = attribution::ekfac_inverse({with, without}, factors, damping);
  CHECK_CLOSE((found - at::cat(wanted, 1)).abs().max().item<double>(), 0, 1e-10);
}

TEST(drawn_labels_invert_the_cumulated_probabilities) {
  at::manual_seed(3);
  const at::Tensor scores = at::softmax(4 * at::randn({50, 200}, at::kDouble), 1), draws = at::rand({50}, at::kDouble);
  const at::Tensor wanted = at::searchsorted(scores.cumsum(1), draws.unsqueeze(1)).squeeze(1);
  CHECK(at::equal(attribution::drawn_labels(scores, draws), wanted));
  CHECK(at::equal(attribution::drawn_labels(scores.to(at::kFloat), draws),
                  wanted));  // no draw lies within rounding of a step
  const at::Tensor ends = attribution::drawn_labels(scores, at::tensor({0.0, 1.0}, at::kDouble).repeat(25));
  CHECK(ends[0].item<int64_t>() == 0 && ends.max().item<int64_t>() < 200);
}
