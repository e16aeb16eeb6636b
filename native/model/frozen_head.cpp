// The classes come in blocks that stay in the processor's cache: a block's logits are made, give their sum and the mean
// of their weights, and are gone. The target is left out of the sum and its share 1 − p is a sigmoid of the others'
// log-odds, so that a loss and a gradient near zero are as exact as any other. With l = log Σ_{v ≠ t} exp x_v and m =
// Σ_{v ≠ t} W_v exp(x_v − l):
//   loss = log(1 + exp(l − x_t))        d loss / d hidden = sigmoid(l − x_t) (m − W_t)
// Where logits are scaled or capped, W_v is the row times the slope of the transform at x_v.
#include "model/frozen_head.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>

namespace attribution {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Logits of a block: 4 MB of floats, so that they are read again from the cache; on an accelerator as much as one
/// launch is worth.
int64_t block_values(const at::Tensor& hidden) { return int64_t{1} << (hidden.is_cpu() ? 20 : 24); }
/// Narrower blocks and rows that are fewer multiply slower.
constexpr int64_t least_width = 512;
/// Logits held at a time where targets are drawn: the allocator keeps what is below 32 MB for the next.
constexpr int64_t drawn_values = int64_t{1} << 22;
/// From here on log(1 + exp(x)) is x to the last digit of a double.
constexpr double exact_until = 40;
/// Stands for the logarithm of nothing: finite, so that differences of it are.
constexpr double nothing = std::numeric_limits<float>::lowest() / 2;

/// All classes but each row's target, added block by block.
class OtherClasses {
 public:
  OtherClasses(const at::Tensor& hidden, const FrozenHead& head, const at::Tensor& target, bool means)
      : matrix_(head.linear.matrix()), target_(target), transform_(head.transform) {
    const auto options = hidden.options().dtype(at::kDouble);
    own_ = at::zeros({hidden.size(0)}, options);
    total_ = at::full({hidden.size(0)}, nothing, options);
    if (means) mean_ = at::zeros(hidden.sizes(), wide(hidden.narrow(0, 0, 0)).options());
  }

  /// `logits` [n, width] of the classes from `first` on; overwritten.
  void add(at::Tensor logits, int64_t first) {
    const at::Tensor slope = mean_.defined() && !transform_.is_plain() ? transform_.slope(logits) : at::Tensor();
    set_apart(logits, first);
    const at::Tensor most = at::amax(logits, {1}).to(at::kDouble);
    at::_softmax_out(logits, logits, 1, false);
    const at::Tensor total =
        most - at::amax(logits, {1}).to(at::kDouble).log();  // the largest share is exp(most − total)
    const at::Tensor joint = at::logaddexp(total_, total);
    if (mean_.defined()) {
      if (slope.defined()) logits.mul_(slope);
      const at::Tensor mean = product(logits.to(matrix_.scalar_type()), matrix_.narrow(0, first, logits.size(1)).t());
      mean_.mul_(column((total_ - joint).exp())).addcmul_(mean.to(mean_.scalar_type()), column((total - joint).exp()));
    }
    total_ = joint;
  }

  at::Tensor losses() const { return at::softplus(total_ - own_, 1, exact_until); }
  at::Tensor gradient() const {
    at::Tensor own = matrix_.index_select(0, target_);
    if (!transform_.is_plain()) own = own * column(transform_.slope(own_));
    return (mean_ - own).mul_(column(at::sigmoid(total_ - own_)));
  }

 private:
  at::Tensor column(const at::Tensor& x) const { return x.to(mean_.scalar_type()).unsqueeze(1); }

  void set_apart(at::Tensor& logits, int64_t first) {
    const at::Tensor place = target_ - first;
    const at::Tensor rows = (place.ge(0) & place.lt(logits.size(1))).nonzero().squeeze(1);
    if (rows.size(0) == 0) return;
    const c10::List<std::optional<at::Tensor>> cells({rows, place.index_select(0, rows)});
    own_.index_copy_(0, rows, at::index(logits, cells).to(at::kDouble));
    logits.index_put_(cells, at::full({}, nothing, logits.options()));
  }

  const at::Tensor matrix_, target_;
  const LogitTransform transform_;
  at::Tensor own_;    // [n] the target's logit
  at::Tensor total_;  // [n] log Σ exp of the others
  at::Tensor mean_;   // [n, embedding] their weights' mean, where wanted
};

/// Calls f(first, count) for parts of `size` that differ by one at most, each at most `most`.
template <typename F>
void in_parts(int64_t size, int64_t most, F&& f) {
  const int64_t parts = (size + most - 1) / most;
  for (int64_t i = 0; i < parts; ++i) f(size * i / parts, size * (i + 1) / parts - size * i / parts);
}

at::Tensor logits_of(const at::Tensor& hidden, const FrozenHead& head, const at::Tensor& matrix, int64_t first,
                     int64_t count) {
  const at::Tensor& bias = head.linear.bias;
  return head.transform(
      wide(product(hidden, matrix.narrow(0, first, count), bias.defined() ? bias.narrow(0, first, count) : bias)));
}

/// Losses of rows whose targets are given; `gradient`, where given, receives theirs.
at::Tensor given_losses(const at::Tensor& hidden, const FrozenHead& head, const at::Tensor& target,
                        at::Tensor* gradient, const at::Tensor& logits = {}) {
  const at::Tensor matrix = head.linear.matrix();
  OtherClasses others(hidden, head, target, gradient);
  const int64_t most = std::max(least_width, block_values(hidden) / std::max<int64_t>(1, hidden.size(0)));
  in_parts(matrix.size(0), most, [&](int64_t first, int64_t count) {
    others.add(
        logits.defined() ? logits.narrow(1, first, count).contiguous() : logits_of(hidden, head, matrix, first, count),
        first);
  });
  if (gradient) gradient->copy_(others.gradient());
  return others.losses();
}

/// The same for targets that are drawn, which takes all logits of a row at once.
at::Tensor drawn_losses(const at::Tensor& hidden, const FrozenHead& head, const TokenTargets& targets,
                        at::Tensor* gradient) {
  const at::Tensor matrix = head.linear.matrix();
  at::Tensor losses = at::empty({hidden.size(0)}, hidden.options().dtype(at::kDouble));
  in_parts(hidden.size(0), std::max<int64_t>(1, drawn_values / matrix.size(0)), [&](int64_t first, int64_t count) {
    const at::Tensor rows = hidden.narrow(0, first, count), logits = logits_of(rows, head, matrix, 0, matrix.size(0));
    at::Tensor part = gradient ? gradient->narrow(0, first, count) : at::Tensor();
    losses.narrow(0, first, count)
        .copy_(
            given_losses(rows, head, targets.drawn(first, at::softmax(logits, 1)), gradient ? &part : nullptr, logits));
  });
  return losses;
}

at::Tensor losses_of(const at::Tensor& hidden, const FrozenHead& head, const TokenTargets& targets,
                     at::Tensor* gradient) {
  if (gradient) *gradient = at::empty_like(hidden);
  const at::Tensor losses = targets.given.defined() ? given_losses(hidden, head, targets.given, gradient)
                                                    : drawn_losses(hidden, head, targets, gradient);
  return losses.to(hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

struct FrozenLosses : torch::autograd::Function<FrozenLosses> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden, const FrozenHead& head,
                            const TokenTargets& targets) {
    at::Tensor gradient;
    const at::Tensor losses = losses_of(hidden, head, targets, &gradient);
    context->save_for_backward({gradient});
    return losses;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor gradient = context->get_saved_variables()[0];
    return {gradient * gradients[0].unsqueeze(1).to(gradient.scalar_type()), {}, {}};
  }
};

}  // namespace

at::Tensor LogitTransform::operator()(const at::Tensor& x) const {
  const at::Tensor scaled = scale == 1 ? x : x * scale;
  return cap > 0 ? at::tanh(scaled / cap) * cap : scaled;
}

at::Tensor LogitTransform::slope(const at::Tensor& logits) const {
  return cap > 0 ? (1 - (logits / cap).square()) * scale : at::full_like(logits, scale);
}

at::Tensor frozen_head_losses(const at::Tensor& hidden, const FrozenHead& head, const TokenTargets& targets) {
  if (at::GradMode::is_enabled() && hidden.requires_grad()) return FrozenLosses::apply(hidden, head, targets);
  const at::NoGradGuard no_grad;
  return losses_of(hidden, head, targets, nullptr);
}

}  // namespace attribution
