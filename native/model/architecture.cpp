#include "model/architecture.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace attribution {
namespace {

constexpr int64_t most = 1 << 20;

void within(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high)
    fail(Code::invalid, "Expected architecture.", name, " within ", low, "–", high, " but received ", value);
}

void number_within(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    fail(Code::invalid, "Expected architecture.", name, " within ", low, "–", high, " but received ", value);
}

void validate_sizes(const Architecture& a) {
  within("vocabulary", a.vocabulary, 1, 1 << 24);
  within("hidden", a.hidden, 1, most);
  within("layers", a.layers, 1, 4096);
  within("heads", a.heads, 1, 4096);
  within("keyValueHeads", a.key_value_heads, 1, a.heads);
  within("headSize", a.head_size, 1, most);
  within("intermediate", a.intermediate, 1, a.is_mixture() ? int64_t{1} << 30 : most);
  within("positions", a.positions, 1, 1 << 24);
  within("embeddingSize", a.embedding_size, 1, most);
  within("tokenTypes", a.token_types, 0, most);
  within("positionOffset", a.position_offset, 0, 1024);
  within("head.labels", a.labels, a.head == HeadKind::classification ? 1 : 0, most);
  if (a.heads % a.key_value_heads != 0)
    fail(Code::invalid, "Expected heads (", a.heads, ") to be a multiple of keyValueHeads (", a.key_value_heads, ")");
}

void validate_factors(const std::vector<double>& factors, int64_t half) {
  if (!factors.empty() && static_cast<int64_t>(factors.size()) != half)
    fail(Code::invalid, "Expected ", half, " factors of a rotary embedding but received ", factors.size());
  for (const double factor : factors) number_within("rotary.factors", factor, 0, 1e6);
}

void validate_rotary(const Architecture& a) {
  if (a.position == PositionKind::rotary && a.rotary.empty())
    fail(Code::invalid, "Expected architecture.rotary to hold a rotary embedding");
  for (const Rotary& r : a.rotary) {
    within("rotary.size", r.size, 2, a.head_size);
    if (r.size % 2 != 0) fail(Code::invalid, "Expected architecture.rotary.size to be even but received ", r.size);
    number_within("rotary.base", r.base, 1, 1e15);
    number_within("rotary.scale", r.scale, 0, 1e6);
    number_within("rotary.growth", r.growth, 0, 1e6);
    within("rotary.longest", r.longest, 0, 1 << 24);
    validate_factors(r.factors, r.size / 2);
    validate_factors(r.long_factors, r.size / 2);
  }
}

void validate_attention(const Architecture& a) {
  if (static_cast<int64_t>(a.attention.size()) != a.layers)
    fail(Code::invalid, "Expected architecture.attention to describe ", a.layers, " layers but received ",
         a.attention.size());
  const auto rotaries = static_cast<int64_t>(a.rotary.size());
  for (const LayerAttention& layer : a.attention) {
    within("attention.window", layer.window, 0, 1 << 24);
    number_within("attention.divisor", layer.divisor, 1e-6, 1e9);
    within("attention.rotary", layer.rotary, -1, rotaries - 1);
  }
}

void validate_mixture(const Architecture& a) {
  const Mixture& m = a.mixture;
  within("mixture.experts", m.experts, 1, most);
  within("mixture.chosen", m.chosen, 1, m.experts);
  within("mixture.width", m.width, 1, most);
  within("mixture.shared", m.shared, 0, most);
  within("mixture.dense", m.dense, 0, a.intermediate);
  if (static_cast<int64_t>(m.layers.size()) != a.layers)
    fail(Code::invalid, "Expected architecture.mixture.layers to describe ", a.layers, " layers but received ",
         m.layers.size());
  const int64_t units = m.experts * m.width + m.shared;
  if (std::count(m.layers.begin(), m.layers.end(), true) > 0 && units > a.intermediate)
    fail(Code::invalid, "Expected architecture.intermediate to be at least ", units,
         ", the neurons of all experts, but received ", a.intermediate);
  if (!a.gated || a.fused_gate || a.mlp_bias || a.transposed_linears)
    fail(Code::invalid, "Expected experts to be gated MLPs of separate projections without biases");
}

}  // namespace

int64_t Architecture::active_width() const {
  return is_mixture() ? std::max(mixture.dense, mixture.chosen * mixture.width + mixture.shared) : intermediate;
}

std::vector<LayerAttention> plain_attention(const Architecture& a) {
  const LayerAttention plain{0, std::sqrt(static_cast<double>(a.head_size)), a.rotary.empty() ? -1 : 0};
  return std::vector<LayerAttention>(static_cast<size_t>(a.layers), plain);
}

void validate(const Architecture& a) {
  validate_sizes(a);
  validate_rotary(a);
  validate_attention(a);
  if (a.is_mixture()) validate_mixture(a);
  number_within("head.dropout", a.head_dropout, 0, 1);
  number_within("normEpsilon", a.norm_epsilon, 0, 1);
  number_within("embeddingScale", a.embedding_scale, -1e6, 1e6);
  number_within("residualScale", a.residual_scale, -1e6, 1e6);
  number_within("logitScale", a.logit_scale, -1e6, 1e6);
  number_within("logitCap", a.logit_cap, 0, 1e6);
  number_within("attentionCap", a.attention_cap, 0, 1e6);
  number_within("queryKeyValueClip", a.qkv_clip, 0, 1e6);
  if (a.shared_norm && (!a.parallel_residual || a.norm_order != NormOrder::pre))
    fail(Code::invalid, "Expected sharedNorm with parallelResidual and normOrder \"pre\" only");
  for (const Adapter& adapter : a.adapters) {
    within("adapter.rank", adapter.rank, 1, most);
    number_within("adapter.scale", adapter.scale, -1e9, 1e9);
  }
  number_within("adapter.dropout", a.adapter_dropout, 0, 1);
  if (!a.causal && a.position == PositionKind::alibi) fail(Code::unsupported, "ALiBi is for attention with causality");
  if (a.causal != (a.head == HeadKind::causal_lm) && a.predicts_tokens())
    fail(Code::unsupported, "A causal language model has causal attention, and a masked one has not");
  if (a.causal && a.readout != Readout::last)
    fail(Code::unsupported, "With causality only a row's last token has seen the whole row");
  if (a.parallel_residual && !a.first_attention_norm)
    fail(Code::unsupported, "A block without its first norm is sequential");
  if (a.fused_gate && !a.gated) fail(Code::invalid, "Expected fusedGate with a gated MLP only");
}

}  // namespace attribution
