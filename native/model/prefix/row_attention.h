// Attention of one-token rows to a cached prefix and to themselves, as one step of the graph with its own backward: the
// plain formula would be some fifty small operations a layer, whose overhead counts beside products of a few hundred
// rows.
#pragma once
#include <ATen/ATen.h>

namespace attribution {

/// What the rows attend to. [row, key-value head, position, feature]; the last position is the row's own, and zero
/// here.
struct AttendedPrefix {
  at::Tensor key, value;
  at::Tensor bias;  // [row, 1 or head, 1, position] added to the scores, or undefined
  double divisor;   // of the scores
  double cap = 0;   // soft: scores become cap · tanh(score / cap); 0: none
};

/// query [row · variant, head, feature], own key and value [row · variant, key-value head, feature]; returns [row ·
/// variant, head · feature]. Differentiable once in the three; the prefix is constant.
at::Tensor attend_prefix(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const AttendedPrefix& prefix);

}  // namespace attribution
