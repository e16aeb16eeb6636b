// Losses against a frozen head in blocks of classes, and their gradients, against the plain formula that autograd
// differentiates.
#include "model/frozen_head.h"

#include <torch/csrc/autograd/autograd.h>

#include "harness.h"

namespace attribution::test {
namespace {

constexpr double rounding = 1e-13;
/// So many rows that the blocks are as narrow as they get, and a vocabulary of three of them.
constexpr int64_t many_rows = 3000, three_blocks = 1200;

struct Found {
  at::Tensor losses, gradient;
};

Found with_gradient(const at::Tensor& losses, const at::Tensor& weights, const at::Tensor& hidden) {
  return {losses.detach(), torch::autograd::grad({(losses * weights.to(losses.scalar_type())).sum()}, {hidden})[0]};
}

double relative(const at::Tensor& own, const at::Tensor& wanted) {
  return ((own.to(at::kDouble) - wanted).abs().max() / wanted.abs().max().clamp_min(1e-300)).item<double>();
}

void check(int64_t rows, int64_t vocabulary, bool biased, bool drawn, LogitTransform transform = {}) {
  const at::Tensor hidden = at::randn({rows, 6}, at::kDouble).requires_grad_(true);
  const FrozenHead head{
      {at::randn({vocabulary, 6}, at::kDouble), biased ? at::randn({vocabulary}, at::kDouble) : at::Tensor()},
      transform};
  const at::Tensor target = at::randint(0, vocabulary, {rows}, at::kLong), weights = at::randn({rows}, at::kDouble);
  const at::Tensor logits = transform(at::linear(hidden, head.linear.weight, head.linear.bias));
  TokenTargets targets{drawn ? at::Tensor() : target, {}};
  targets.drawn = [&](int64_t first, const at::Tensor& probabilities) {
    const at::Tensor expected = at::softmax(logits.detach(), 1).narrow(0, first, probabilities.size(0));
    CHECK_CLOSE((probabilities - expected).abs().max().item<double>(), 0, rounding);
    return target.narrow(0, first, probabilities.size(0));
  };
  const Found own = with_gradient(frozen_head_losses(hidden, head, targets), weights, hidden);
  const Found wanted = with_gradient(at::cross_entropy_loss(logits, target, {}, at::Reduction::None), weights, hidden);
  CHECK_CLOSE(relative(own.losses, wanted.losses), 0, rounding);
  CHECK_CLOSE(relative(own.gradient, wanted.gradient), 0, rounding);
  const at::NoGradGuard no_grad;
  CHECK((frozen_head_losses(hidden, head, targets) - own.losses).abs().max().item<double>() <= rounding);
}

}  // namespace

TEST(losses_of_a_frozen_head_and_their_gradients_are_the_plain_formulas) {
  for (const bool drawn : {false, true}) {
    check(5, 40, false, drawn);
    check(1, 2, true, drawn);
    check(many_rows, three_blocks, true, drawn);
    check(5, 40, true, drawn, {0.3, 0});
    check(many_rows, three_blocks, false, drawn, {1.5, 2});
  }
}

TEST(losses_of_a_frozen_head_near_zero_keep_their_digits_in_float32) {
  const at::Tensor target = at::arange(three_blocks, at::kLong), one = at::ones({three_blocks}, at::kDouble);
  const at::Tensor rows = at::eye(three_blocks, at::kDouble);
  // Each row says its own class, with odds from e^5 to e^30 against each of the others.
  const at::Tensor exact = (rows * at::linspace(5, 30, three_blocks, at::kDouble).unsqueeze(1) +
                            0.01 * at::randn({three_blocks, three_blocks}, at::kDouble))
                               .to(at::kFloat)
                               .to(at::kDouble)
                               .requires_grad_(true);
  const at::Tensor rounded = exact.detach().to(at::kFloat).requires_grad_(true);
  const Found own = with_gradient(frozen_head_losses(rounded, {{rows.to(at::kFloat), {}}}, {target, {}}), one, rounded);
  const at::Tensor others = exact.masked_fill(rows.to(at::kBool), -1e30).logsumexp(1) - exact.diagonal();
  const Found wanted = with_gradient(at::softplus(others, 1, 300), one, exact);
  CHECK(wanted.losses.min().item<double>() < 1e-9);
  CHECK(((own.losses.to(at::kDouble) - wanted.losses).abs() / wanted.losses).max().item<double>() < 1e-6);
  const at::Tensor largest = std::get<0>(wanted.gradient.abs().max(1, true));
  CHECK(((own.gradient.to(at::kDouble) - wanted.gradient).abs() / largest).max().item<double>() < 1e-6);
}

TEST(a_head_of_one_class_has_loss_zero_and_no_rows_have_no_losses) {
  const at::Tensor hidden = at::randn({3, 6}).requires_grad_(true), zeros = at::zeros({3}, at::kLong);
  const Found own =
      with_gradient(frozen_head_losses(hidden, {{at::randn({1, 6}), {}}}, {zeros, {}}), at::ones({3}), hidden);
  CHECK(own.losses.eq(0).all().item<bool>() && own.gradient.eq(0).all().item<bool>());
  CHECK(frozen_head_losses(at::randn({0, 6}), {{at::randn({4, 6}), {}}}, {zeros.narrow(0, 0, 0), {}}).size(0) == 0);
}

}  // namespace attribution::test
