#include "model/prefix/row_attention.h"

#include <torch/csrc/autograd/custom_function.h>

namespace attribution {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// R rows, V variants of each, K key-value heads, G query heads of each, D features, P positions, the last of them the
// row's own.
struct Sizes {
  int64_t rows, variants, kv, group, features;
};

Sizes sizes_of(const at::Tensor& query, const at::Tensor& key, const AttendedPrefix& prefix) {
  const int64_t rows = prefix.key.size(0), kv = key.size(1);
  return {rows, query.size(0) / rows, kv, query.size(1) / kv, query.size(2)};
}

/// [R · V, K · G, D] → [R · K, G · V, D]
at::Tensor by_head(const at::Tensor& x, const Sizes& s) {
  return x.view({s.rows, s.variants, s.kv, s.group, s.features})
      .permute({0, 2, 3, 1, 4})
      .reshape({s.rows * s.kv, s.group * s.variants, s.features});
}

/// The same for keys and values, [R · V, K, D], seen by each query head of their group.
at::Tensor by_group(const at::Tensor& x, const Sizes& s) {
  return x.view({s.rows, s.variants, s.kv, 1, s.features})
      .expand({-1, -1, -1, s.group, -1})
      .permute({0, 2, 3, 1, 4})
      .reshape({s.rows * s.kv, s.group * s.variants, s.features});
}

/// [R · K, G · V, D] → [R · V, K · G, D]
at::Tensor by_token(const at::Tensor& x, const Sizes& s) {
  return x.view({s.rows, s.kv, s.group, s.variants, s.features})
      .permute({0, 3, 1, 2, 4})
      .reshape({s.rows * s.variants, s.kv * s.group, s.features});
}

/// A gradient of each query head's copy, summed over the group: [R · V, K, D].
at::Tensor over_group(const at::Tensor& x, const Sizes& s) {
  const at::Tensor tokens = by_token(x, s);
  return s.group == 1 ? tokens : tokens.view({-1, s.kv, s.group, s.features}).sum(2);
}

/// [R · K, P, D], as it lies.
at::Tensor heads_of(const at::Tensor& x) { return x.flatten(0, 1); }

struct PrefixAttention : torch::autograd::Function<PrefixAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const AttendedPrefix& prefix) {
    const Sizes s = sizes_of(query, key, prefix);
    const int64_t own = prefix.key.size(2) - 1;
    const at::Tensor q = by_head(query, s) / prefix.divisor, k = by_group(key, s), v = by_group(value, s);
    at::Tensor weights = at::bmm(q, heads_of(prefix.key).transpose(1, 2));  // [R · K, G · V, P], scores at first
    weights.select(-1, own).copy_((q * k).sum(-1));
    at::Tensor slope;
    if (prefix.cap > 0) {
      weights.div_(prefix.cap).tanh_();
      slope = 1 - weights.square();
      weights.mul_(prefix.cap);
    }
    if (prefix.bias.defined()) weights.view({s.rows, s.kv * s.group, s.variants, -1}).add_(prefix.bias);
    at::_softmax_out(weights, weights, -1, false);
    at::Tensor out = at::bmm(weights, heads_of(prefix.value));
    out.addcmul_(weights.narrow(-1, own, 1), v);
    context->save_for_backward({q, k, v, weights, prefix.key, prefix.value, slope});
    context->saved_data["divisor"] = prefix.divisor;
    context->saved_data["group"] = s.group;
    return by_token(out, s).flatten(1);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &weights = saved[3];
    const at::Tensor keys = heads_of(saved[4]), values = heads_of(saved[5]);
    const int64_t rows = saved[4].size(0), kv = saved[4].size(1), group = context->saved_data["group"].toInt(),
                  own = keys.size(1) - 1;
    const Sizes s{rows, q.size(1) / group, kv, group, q.size(2)};
    const at::Tensor g = by_head(gradients[0].view({s.rows * s.variants, s.kv * s.group, s.features}), s);
    at::Tensor of_weights = at::bmm(g, values.transpose(1, 2));
    of_weights.select(-1, own).copy_((g * v).sum(-1));
    at::Tensor of_scores = at::_softmax_backward_data(of_weights, weights, -1, weights.scalar_type());
    if (saved[6].defined()) of_scores = of_scores * saved[6];
    const at::Tensor of_self = of_scores.narrow(-1, own, 1);
    at::Tensor of_query = at::bmm(of_scores, keys);
    of_query.addcmul_(of_self, k).div_(context->saved_data["divisor"].toDouble());
    return {by_token(of_query, s), over_group(of_self * q, s), over_group(weights.narrow(-1, own, 1) * g, s), {}};
  }
};

}  // namespace

at::Tensor attend_prefix(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const AttendedPrefix& prefix) {
  return PrefixAttention::apply(query, key, value, prefix);
}

}  // namespace attribution
