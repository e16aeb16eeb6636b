// One-token attention over a prefix against the plain formula that autograd differentiates, in float64.
#include "model/prefix/row_attention.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "harness.h"

namespace attribution::test {
namespace {

constexpr double rounding = 1e-13;

struct Shape {
  int64_t rows, variants, heads, kv, features, seen;
};

at::Tensor plain(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttendedPrefix& p,
                 const Shape& s) {
  const int64_t group = s.heads / s.kv;
  auto spread = [&](const at::Tensor& x) {
    return x.view({s.rows, s.variants, s.kv, s.features}).repeat_interleave(group, 2).transpose(1, 2).unsqueeze(3);
  };
  auto prefix = [&](const at::Tensor& x) {
    return x.repeat_interleave(group, 1).unsqueeze(2).expand({-1, -1, s.variants, -1, -1});
  };
  const at::Tensor keys = at::cat({prefix(p.key.narrow(2, 0, s.seen)), spread(k)}, 3),
                   values = at::cat({prefix(p.value.narrow(2, 0, s.seen)), spread(v)}, 3);
  const at::Tensor query = q.view({s.rows, s.variants, s.heads, s.features}).transpose(1, 2).unsqueeze(3);
  at::Tensor scores = (query * keys).sum(-1) / p.divisor;
  if (p.cap > 0) scores = p.cap * at::tanh(scores / p.cap);
  if (p.bias.defined()) scores = scores + p.bias;
  return (at::softmax(scores, -1).unsqueeze(-1) * values)
      .sum(3)
      .transpose(1, 2)
      .reshape({s.rows * s.variants, s.heads * s.features});
}

void check(const Shape& s, bool biased, double cap = 0) {
  auto random = [](at::IntArrayRef size) { return at::randn(size, at::kDouble); };
  auto before = [&] {
    return at::cat({random({s.rows, s.kv, s.seen, s.features}), at::zeros({s.rows, s.kv, 1, s.features}, at::kDouble)},
                   2);
  };
  AttendedPrefix prefix{before(), before(), biased ? random({s.rows, s.heads, 1, s.seen + 1}) : at::Tensor(),
                        std::sqrt(static_cast<double>(s.features)), cap};
  std::vector<at::Tensor> leaves;
  for (const int64_t heads : {s.heads, s.kv, s.kv})
    leaves.push_back(random({s.rows * s.variants, heads, s.features}).requires_grad_(true));
  const at::Tensor own = attend_prefix(leaves[0], leaves[1], leaves[2], prefix),
                   wanted = plain(leaves[0], leaves[1], leaves[2], prefix, s);
  CHECK_CLOSE((own - wanted).abs().max().item<double>(), 0, rounding);
  const at::Tensor weights = at::randn_like(wanted);
  const auto gradients = torch::autograd::grad({(own * weights).sum()}, leaves),
             expected = torch::autograd::grad({(wanted * weights).sum()}, leaves);
  for (size_t i = 0; i < leaves.size(); ++i)
    CHECK_CLOSE((gradients[i] - expected[i]).abs().max().item<double>(), 0, rounding);
}

}  // namespace

TEST(attention_of_rows_to_a_prefix_and_its_gradients_are_the_plain_formulas) {
  check({1, 5, 4, 4, 3, 7}, false);
  check({3, 2, 6, 2, 4, 5}, true);
  check({2, 3, 4, 1, 2, 1}, true);
  check({2, 1, 4, 4, 2, 0}, false);  // a prompt of one token
  check({3, 2, 6, 2, 4, 5}, true, 0.8);
}

}  // namespace attribution::test
