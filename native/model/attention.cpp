#include "model/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/linear.h"
#include "model/norm.h"

namespace attribution {
namespace {

/// Turns the leading features of each head in pairs: (i, i + size / 2), or where interleaved (2 i, 2 i + 1).
at::Tensor rotate(const at::Tensor& x, const Rotary& rotary, const Rotation& at_tokens) {
  const int64_t half = rotary.size / 2, rest = x.size(-1) - rotary.size;
  const at::Tensor cosine = at_tokens.cosine.unsqueeze(1), sine = at_tokens.sine.unsqueeze(1);  // [token, 1, size / 2]
  if (!rotary.interleaved) {
    // One split: its backward is one concatenation, where that of each slice would be a whole tensor of zeros and a
    // sum.
    const auto parts = x.split_with_sizes({half, half, rest}, -1);
    return at::cat({parts[0] * cosine - parts[1] * sine, parts[1] * cosine + parts[0] * sine, parts[2]}, -1);
  }
  const auto parts = x.split_with_sizes({rotary.size, rest}, -1);
  const auto pair = parts[0].unflatten(-1, {half, 2}).unbind(-1);
  const at::Tensor turned = at::stack({pair[0] * cosine - pair[1] * sine, pair[1] * cosine + pair[0] * sine}, -1);
  return at::cat({turned.flatten(-2), parts[1]}, -1);
}

/// Queries, keys and values of a fused projection: one kind after the other, or each key-value head's own together.
QueryKeyValue split(const Architecture& a, const at::Tensor& fused) {
  const int64_t tokens = fused.size(0), group = a.heads / a.key_value_heads;
  if (a.qkv == QkvLayout::concatenated) {
    const auto parts = fused.split_with_sizes({a.query_width(), a.key_value_width(), a.key_value_width()}, -1);
    const auto heads = [&](const at::Tensor& x, int64_t count) { return x.view({tokens, count, a.head_size}); };
    return {heads(parts[0], a.heads), heads(parts[1], a.key_value_heads), heads(parts[2], a.key_value_heads)};
  }
  const auto parts = fused.view({tokens, a.key_value_heads, group + 2, a.head_size}).split_with_sizes({group, 1, 1}, 2);
  return {parts[0].reshape({tokens, a.heads, a.head_size}), parts[1].squeeze(2), parts[2].squeeze(2)};
}

/// [token, head, feature] → [row, head, longest, feature]
at::Tensor to_rows(const at::Tensor& x, const Batch& batch) {
  const at::Tensor padded = batch.equal ? x : x.index_select(0, batch.pad_index);
  return padded.view({batch.rows(), batch.longest, x.size(1), x.size(2)}).transpose(1, 2);
}

at::Tensor future_of(int64_t longest, const at::TensorOptions& options) {
  return at::ones({longest, longest}, options.dtype(at::kBool)).triu(1);
}

/// How a layer's scores are made, and what is added to them.
struct Scoring {
  const Architecture& architecture;
  double divisor;
  at::Tensor mask;
};

/// The plain formula: can be differentiated twice, and takes dropout and a soft cap.
at::Tensor explicit_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Scoring& s,
                              const Hooks& hooks) {
  at::Tensor scores = at::matmul(q, k.transpose(-1, -2)) / s.divisor;
  const double cap = s.architecture.attention_cap;
  if (cap > 0) scores = at::tanh(scores / cap) * cap;
  at::Tensor weights = at::softmax(masked_scores(s.architecture, scores, s.mask), -1);
  if (hooks.dropout && hooks.dropout->attention > 0) {
    const double keep = 1 - hooks.dropout->attention;
    weights = weights * at::empty_like(weights).bernoulli_(keep, hooks.dropout->generator) / keep;
  }
  return at::matmul(weights, v);
}

/// By libtorch. Its backward in bfloat16 takes twice as long as in float on a CPU, and rounds what it need not.
at::Tensor fused_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Scoring& s) {
  if (q.is_cpu() && q.scalar_type() == at::kBFloat16) {
    const at::Tensor mask = s.mask.defined() ? s.mask.to(at::kFloat) : s.mask;
    return fused_attention(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), {s.architecture, s.divisor, mask})
        .to(at::kBFloat16);
  }
  // A mask that is there without being defined would be taken for one.
  const std::optional<at::Tensor> mask = s.mask.defined() ? std::optional<at::Tensor>(s.mask) : std::nullopt;
  return at::scaled_dot_product_attention(q, k, v, mask, 0.0, s.architecture.causal && !mask, 1 / s.divisor);
}

/// The factors of the default frequencies, [1 or row, size / 2], and the scale of a rotary embedding in rows of the
/// given lengths [token].
struct RowRotary {
  at::Tensor factors, scale;
};

RowRotary in_rows(const Rotary& r, const at::Tensor& lengths, const at::TensorOptions& options) {
  const auto list = [&](const std::vector<double>& values) {
    return values.empty() ? at::ones({1, r.size / 2}, options)
                          : at::tensor(values, at::kDouble).to(options).unsqueeze(0);
  };
  RowRotary plain{list(r.factors), at::full({1, 1}, r.scale, options)};
  if (r.longest == 0) return plain;
  const at::Tensor beyond = lengths.gt(r.longest).unsqueeze(1);
  if (r.growth == 0)
    return {at::where(beyond, list(r.long_factors), plain.factors),
            at::where(beyond, at::full({1, 1}, r.long_scale, options), plain.scale)};
  // The base grows by (growth · length / longest − growth + 1)^(size / (size − 2)).
  const at::Tensor growth =
      lengths.to(at::kDouble).unsqueeze(1) * (r.growth / static_cast<double>(r.longest)) - (r.growth - 1);
  const at::Tensor power = at::arange(0, r.size, 2, options.dtype(at::kDouble)) / static_cast<double>(r.size - 2);
  return {at::where(beyond, at::pow(growth, -power).to(options), plain.factors), plain.scale};
}

Rotation rotation_of(const Rotary& r, const at::Tensor& positions, const at::Tensor& lengths, const Model& model) {
  const auto high = model.dtype == at::kDouble ? at::kDouble : at::kFloat;
  const auto options = at::TensorOptions().dtype(high).device(model.device);
  const at::Tensor power = at::arange(0, r.size, 2, options) / static_cast<double>(r.size);
  const at::Tensor frequency = at::pow(at::full({}, r.base, options), power).reciprocal();
  const bool plain = r.factors.empty() && r.scale == 1 && r.longest == 0;
  if (plain) {
    const at::Tensor angle = positions.to(high).unsqueeze(1) * frequency.unsqueeze(0);
    return {angle.cos().to(model.dtype), angle.sin().to(model.dtype)};
  }
  const RowRotary own = in_rows(r, lengths, options);
  const at::Tensor angle = positions.to(high).unsqueeze(1) * (frequency.unsqueeze(0) * own.factors);
  return {(angle.cos() * own.scale).to(model.dtype), (angle.sin() * own.scale).to(model.dtype)};
}

/// Without causality: minus infinity where a key is padding or outside the window. Padding's own queries, whose results
/// are dropped, see the whole row, so that they are never without a key: their gradients of 0 stay 0.
at::Tensor mask_of_both_sides(const Model& model, const Batch& batch, int64_t window) {
  const bool windowed = window > 0 && window < batch.longest;
  if (batch.equal && !windowed) return {};
  const at::Tensor place = at::arange(batch.longest, at::kLong);
  at::Tensor hidden = at::zeros({1, 1, 1, 1}, at::kBool);
  if (!batch.equal) {
    std::vector<int64_t> ends;
    for (int64_t row = 0; row < batch.rows(); ++row)
      ends.push_back(batch.row_offsets[row + 1] - batch.row_offsets[row]);
    hidden = place.view({1, 1, 1, -1}).ge(at::tensor(ends, at::kLong).view({-1, 1, 1, 1}));  // [row, 1, 1, key]
  }
  if (windowed) {
    const at::Tensor far = (place.unsqueeze(1) - place.unsqueeze(0)).abs().ge(window).view({1, 1, batch.longest, -1});
    const at::Tensor padding = batch.equal ? hidden : hidden.transpose(2, 3);  // [row, 1, query, 1]
    hidden = hidden.logical_or(far.logical_and(padding.logical_not()));
  }
  return at::zeros(hidden.sizes(), at::kDouble)
      .masked_fill(hidden, -std::numeric_limits<double>::infinity())
      .to(model.options());
}

/// What is added to the scores of layers with a window, on top of the causal mask.
at::Tensor mask_of(const Model& model, const Batch& batch, int64_t window) {
  const Architecture& a = model.architecture;
  if (!a.causal) return mask_of_both_sides(model, batch, window);
  const bool alibi = a.position == PositionKind::alibi, windowed = window > 0 && window < batch.longest;
  if (!alibi && !windowed) return {};
  at::Tensor hidden = future_of(batch.longest, at::TensorOptions());
  if (windowed) hidden = hidden.logical_or(at::ones_like(hidden).tril(-window));
  at::Tensor bias = at::zeros({1, 1, 1, 1}, at::kDouble);
  if (alibi)
    bias = alibi_slopes(a.heads).view({1, a.heads, 1, 1}) * at::arange(batch.longest, at::kDouble).view({1, 1, 1, -1});
  return bias.expand({1, alibi ? a.heads : 1, batch.longest, batch.longest})
      .masked_fill(hidden, -std::numeric_limits<double>::infinity())
      .to(model.options());
}

}  // namespace

at::Tensor masked_scores(const Architecture& a, const at::Tensor& scores, const at::Tensor& mask) {
  if (mask.defined()) return scores + mask;
  if (!a.causal) return scores;
  return scores.masked_fill(future_of(scores.size(2), scores.options()), -std::numeric_limits<double>::infinity());
}

at::Tensor run_linear(const Model& model, ModuleId id, const at::Tensor& input, const Hooks& hooks,
                      const at::Tensor& seen) {
  const auto run = [&](ModuleId one, const at::Tensor& x) {
    const Linear& linear = parameters_of(model, one);
    return hooks.linear ? hooks.linear(one, linear, x, seen) : apply(linear, x, hooks.twice_differentiable);
  };
  const at::Tensor output = run(id, input);
  const Linear& b = model.weights[with_part(id, Part::b)];
  if (!b.weight.defined()) return output;
  const at::Tensor read = drop(input, hooks.dropout ? hooks.dropout->adapter : 0, hooks);
  const at::Tensor inner = run(with_part(id, Part::a), read);
  return output + run(with_part(id, Part::b), inner) * b.scale;
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

Rotations rotations_at(const Model& model, const at::Tensor& positions, const at::Tensor& lengths) {
  Rotations rotations;
  for (const Rotary& r : model.architecture.rotary) rotations.push_back(rotation_of(r, positions, lengths, model));
  return rotations;
}

PositionTables position_tables(const Model& model, const Batch& batch) {
  PositionTables tables{rotations_at(model, batch.positions, batch.lengths), {}};
  for (const LayerAttention& layer : model.architecture.attention) {
    const bool known = std::ranges::any_of(tables.masks, [&](const WindowMask& m) { return m.window == layer.window; });
    if (!known) tables.masks.push_back({layer.window, mask_of(model, batch, layer.window)});
  }
  return tables;
}

const at::Tensor& layer_mask(const Architecture& a, int64_t layer, const PositionTables& tables) {
  return std::ranges::find(tables.masks, a.layer_attention(layer).window, &WindowMask::window)->mask;
}

QueryKeyValue project(const Model& model, int64_t layer, const at::Tensor& input, const Rotations& rotations,
                      const Hooks& hooks) {
  const Architecture& a = model.architecture;
  const auto linear = [&](Module module) { return run_linear(model, {module, layer}, input, hooks); };
  const auto clipped = [&](const at::Tensor& x) { return a.qkv_clip > 0 ? at::clamp(x, -a.qkv_clip, a.qkv_clip) : x; };
  // A norm over the whole projection comes before its values are clipped and the heads are told apart.
  const auto heads = [&](Module module, Module norm, int64_t count) {
    const at::Tensor x = linear(module);
    const bool whole = a.query_key_norm == QueryKeyNorm::projection && module != Module::value;
    return clipped(whole ? run_norm(model, {norm, layer}, x, hooks) : x).view({-1, count, a.head_size});
  };
  QueryKeyValue qkv;
  if (a.qkv == QkvLayout::separate) {
    qkv.query = heads(Module::query, Module::query_norm, a.heads);
    qkv.key = heads(Module::key, Module::key_norm, a.key_value_heads);
    qkv.value = heads(Module::value, Module::value, a.key_value_heads);
  } else {
    qkv = split(a, clipped(linear(Module::qkv)));
  }
  if (a.query_key_norm == QueryKeyNorm::head) {
    qkv.query = run_norm(model, {Module::query_norm, layer}, qkv.query, hooks);
    qkv.key = run_norm(model, {Module::key_norm, layer}, qkv.key, hooks);
  }
  if (const int64_t index = a.layer_attention(layer).rotary; index >= 0) {
    const auto place = static_cast<size_t>(index);
    qkv.query = rotate(qkv.query, a.rotary[place], rotations[place]);
    qkv.key = rotate(qkv.key, a.rotary[place], rotations[place]);
  }
  return qkv;
}

at::Tensor attend(const Model& model, int64_t layer, const QueryKeyValue& qkv, const Batch& batch,
                  const PositionTables& tables, const Hooks& hooks) {
  const Architecture& a = model.architecture;
  const LayerAttention& own = a.layer_attention(layer);
  const at::Tensor q = to_rows(qkv.query, batch);
  const at::Tensor k = to_rows(repeat_heads(qkv.key, a.heads), batch);
  const at::Tensor v = to_rows(repeat_heads(qkv.value, a.heads), batch);
  const Scoring scoring{a, own.divisor, layer_mask(a, layer, tables)};
  const bool plain =
      hooks.twice_differentiable || a.attention_cap > 0 || (hooks.dropout && hooks.dropout->attention > 0);
  at::Tensor out = plain ? explicit_attention(q, k, v, scoring, hooks) : fused_attention(q, k, v, scoring);
  out = out.transpose(1, 2).reshape({batch.rows() * batch.longest, a.query_width()});
  return batch.equal ? out : out.index_select(0, batch.unpad_index);
}

}  // namespace attribution
