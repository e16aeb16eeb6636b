#include "model/attention.h"

#include <cmath>
#include <limits>

#include "model/linear.h"
#include "model/norm.h"

namespace attribution {
namespace {

at::Tensor rotate(const at::Tensor& x, const PositionTables& tables, int64_t rotary) {
  const int64_t half = rotary / 2;
  const at::Tensor cosine = tables.cosine.unsqueeze(1), sine = tables.sine.unsqueeze(1);  // [token, 1, rotary / 2]
  // One split: its backward is one concatenation, where that of each slice would be a whole tensor of zeros and a sum.
  const auto parts = x.split_with_sizes({half, half, x.size(-1) - rotary}, -1);
  return at::cat({parts[0] * cosine - parts[1] * sine, parts[1] * cosine + parts[0] * sine, parts[2]}, -1);
}

QueryKeyValue split(const Architecture& a, const at::Tensor& fused) {
  const int64_t tokens = fused.size(0);
  const bool interleaved = a.qkv == QkvLayout::interleaved;
  const auto parts = interleaved ? fused.view({tokens, a.heads, 3, a.head_size}).unbind(2)
                                 : fused.view({tokens, 3, a.heads, a.head_size}).unbind(1);
  return {parts[0], parts[1], parts[2]};
}

/// [token, head, feature] → [row, head, longest, feature]
at::Tensor to_rows(const at::Tensor& x, const Batch& batch) {
  const at::Tensor padded = batch.equal ? x : x.index_select(0, batch.pad_index);
  return padded.view({batch.rows(), batch.longest, x.size(1), x.size(2)}).transpose(1, 2);
}

/// The plain formula: can be differentiated twice, and takes dropout.
at::Tensor explicit_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& mask,
                              const Hooks& hooks) {
  at::Tensor scores = at::matmul(q, k.transpose(-1, -2)) / std::sqrt(static_cast<double>(q.size(-1)));
  if (mask.defined()) {
    scores = scores + mask;
  } else {
    const at::Tensor future = at::ones({q.size(2), q.size(2)}, q.options().dtype(at::kBool)).triu(1);
    scores = scores.masked_fill(future, -std::numeric_limits<double>::infinity());
  }
  at::Tensor weights = at::softmax(scores, -1);
  if (hooks.dropout && hooks.dropout->attention > 0) {
    const double keep = 1 - hooks.dropout->attention;
    weights = weights * at::empty_like(weights).bernoulli_(keep, hooks.dropout->generator) / keep;
  }
  return at::matmul(weights, v);
}

/// By libtorch. Its backward in bfloat16 takes twice as long as in float on a CPU, and rounds what it need not.
at::Tensor fused_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& mask) {
  if (q.is_cpu() && q.scalar_type() == at::kBFloat16) {
    return fused_attention(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat),
                           mask.defined() ? mask.to(at::kFloat) : mask)
        .to(at::kBFloat16);
  }
  if (mask.defined()) return at::scaled_dot_product_attention(q, k, v, mask);
  return at::scaled_dot_product_attention(q, k, v, {}, 0.0, true);
}

}  // namespace

at::Tensor run_linear(const Model& model, ModuleId id, const at::Tensor& input, const Hooks& hooks) {
  const Linear& linear = parameters_of(model, id);
  return hooks.linear ? hooks.linear(id, linear, input) : apply(linear, input, hooks.twice_differentiable);
}

at::Tensor repeat_heads(const at::Tensor& x, int64_t heads) {
  const int64_t groups = x.size(-2);
  return groups == heads ? x : x.repeat_interleave(heads / groups, -2);
}

at::Tensor alibi_slopes(int64_t heads) {
  const auto nearest = static_cast<int64_t>(std::pow(2, std::floor(std::log2(static_cast<double>(heads)))));
  std::vector<double> slopes;
  const double base = std::pow(2.0, -std::pow(2.0, -(std::log2(static_cast<double>(nearest)) - 3)));
  for (int64_t i = 1; i <= nearest; ++i) slopes.push_back(std::pow(base, static_cast<double>(i)));
  const double extra = std::pow(2.0, -std::pow(2.0, -(std::log2(2.0 * static_cast<double>(nearest)) - 3)));
  for (int64_t i = 0; i < heads - nearest; ++i) slopes.push_back(std::pow(extra, static_cast<double>(2 * i + 1)));
  return at::tensor(slopes, at::kDouble);
}

PositionTables rotary_tables(const Model& model, const at::Tensor& positions) {
  const Architecture& a = model.architecture;
  const auto high = model.dtype == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor power = at::arange(0, a.rotary_size, 2, at::TensorOptions().dtype(high).device(model.device)) /
                           static_cast<double>(a.rotary_size);
  const at::Tensor frequency = at::pow(at::full({}, a.rotary_base, power.options()), power).reciprocal();
  const at::Tensor angle = positions.to(high).unsqueeze(1) * frequency.unsqueeze(0);
  return {angle.cos().to(model.dtype), angle.sin().to(model.dtype), {}};
}

PositionTables position_tables(const Model& model, const Batch& batch) {
  const Architecture& a = model.architecture;
  if (a.position == PositionKind::rotary) return rotary_tables(model, batch.positions);
  if (a.position != PositionKind::alibi) return {};
  const at::Tensor keys = at::arange(batch.longest, at::kDouble);
  const at::Tensor bias = alibi_slopes(a.heads).view({1, a.heads, 1, 1}) * keys.view({1, 1, 1, -1});
  const at::Tensor future = at::ones({batch.longest, batch.longest}, at::kBool).triu(1);
  const at::Tensor mask = bias.expand({1, a.heads, batch.longest, batch.longest})
                              .masked_fill(future, -std::numeric_limits<double>::infinity());
  return {{}, {}, mask.to(model.options())};
}

QueryKeyValue project(const Model& model, int64_t layer, const at::Tensor& input, const PositionTables& tables,
                      const Hooks& hooks) {
  const Architecture& a = model.architecture;
  const auto linear = [&](Module module) { return run_linear(model, {module, layer}, input, hooks); };
  QueryKeyValue qkv;
  if (a.qkv == QkvLayout::separate) {
    qkv.query = linear(Module::query).view({-1, a.heads, a.head_size});
    qkv.key = linear(Module::key).view({-1, a.key_value_heads, a.head_size});
    qkv.value = linear(Module::value).view({-1, a.key_value_heads, a.head_size});
  } else {
    qkv = split(a, linear(Module::qkv));
  }
  if (a.query_key_norm) {
    qkv.query = run_norm(model, {Module::query_norm, layer}, qkv.query, hooks);
    qkv.key = run_norm(model, {Module::key_norm, layer}, qkv.key, hooks);
  }
  if (a.position == PositionKind::rotary) {
    qkv.query = rotate(qkv.query, tables, a.rotary_size);
    qkv.key = rotate(qkv.key, tables, a.rotary_size);
  }
  return qkv;
}

at::Tensor attend(const Model& model, const QueryKeyValue& qkv, const Batch& batch, const PositionTables& tables,
                  const Hooks& hooks) {
  const Architecture& a = model.architecture;
  const at::Tensor q = to_rows(qkv.query, batch);
  const at::Tensor k = to_rows(repeat_heads(qkv.key, a.heads), batch);
  const at::Tensor v = to_rows(repeat_heads(qkv.value, a.heads), batch);
  const bool plain = hooks.twice_differentiable || (hooks.dropout && hooks.dropout->attention > 0);
  at::Tensor out = plain ? explicit_attention(q, k, v, tables.mask, hooks) : fused_attention(q, k, v, tables.mask);
  out = out.transpose(1, 2).reshape({batch.rows() * batch.longest, a.query_width()});
  return batch.equal ? out : out.index_select(0, batch.unpad_index);
}

}  // namespace attribution
