#include "addon/architecture_values.h"

#include "addon/values.h"

namespace attribution {
namespace {

Napi::Array list_of(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) fail(Code::invalid, "Expected \"", name, "\" to be a list");
  return value.As<Napi::Array>();
}

std::vector<double> numbers_field(const Napi::Object& object, const char* name) {
  const Napi::Array list = list_of(field(object, name), name);
  std::vector<double> numbers;
  for (uint32_t i = 0; i < list.Length(); ++i) numbers.push_back(list.Get(i).ToNumber().DoubleValue());
  return numbers;
}

std::vector<Rotary> rotary_of(const Napi::Value& value) {
  const Napi::Array list = list_of(value, "rotary");
  std::vector<Rotary> rotary;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const auto o = list.Get(i).As<Napi::Object>();
    Rotary& r = rotary.emplace_back();
    r.size = integer_field(o, "size");
    r.base = number_field(o, "base");
    r.interleaved = boolean_field(o, "interleaved");
    r.factors = numbers_field(o, "factors");
    r.scale = number_field(o, "scale");
    r.longest = integer_field(o, "longest");
    r.long_factors = numbers_field(o, "longFactors");
    r.long_scale = number_field(o, "longScale");
    r.growth = number_field(o, "growth");
  }
  return rotary;
}

std::vector<LayerAttention> attention_of(const Napi::Value& value) {
  const Napi::Array list = list_of(value, "attention");
  std::vector<LayerAttention> attention;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const auto o = list.Get(i).As<Napi::Object>();
    attention.push_back({integer_field(o, "window"), number_field(o, "divisor"), integer_field(o, "rotary")});
  }
  return attention;
}

Mixture mixture_of(const Napi::Object& o) {
  Mixture m;
  m.experts = integer_field(o, "experts");
  m.chosen = integer_field(o, "chosen");
  m.width = integer_field(o, "width");
  m.shared = integer_field(o, "shared");
  m.renormalised = boolean_field(o, "renormalised");
  const Napi::Array layers = list_of(field(o, "layers"), "mixture.layers");
  for (uint32_t i = 0; i < layers.Length(); ++i) m.layers.push_back(layers.Get(i).ToBoolean());
  m.dense = integer_field(o, "dense");
  return m;
}

void read_adapter(Architecture& a, const Napi::Object& o) {
  a.adapter_saved = strings_field(o, "saved");
  a.adapter_dropout = number_field(o, "dropout");
  const Napi::Array modules = list_of(field(o, "modules"), "adapter.modules");
  for (uint32_t i = 0; i < modules.Length(); ++i) {
    const auto one = modules.Get(i).As<Napi::Object>();
    a.adapters.push_back({string_field(one, "module"), integer_field(one, "rank"), number_field(one, "scale")});
  }
}

Activation activation_field(const Napi::Object& o) {
  return choice_field<Activation>(o, "activation",
                                  {{"relu", Activation::relu},
                                   {"gelu", Activation::gelu},
                                   {"gelu-tanh", Activation::gelu_tanh},
                                   {"silu", Activation::silu},
                                   {"quick-gelu", Activation::quick_gelu},
                                   {"squared-relu", Activation::squared_relu},
                                   {"tanh", Activation::tanh}});
}

}  // namespace

Architecture architecture_of(const Napi::Object& o) {
  Architecture a;
  a.family = string_field(o, "family");
  a.vocabulary = integer_field(o, "vocabulary");
  a.hidden = integer_field(o, "hidden");
  a.layers = integer_field(o, "layers");
  a.heads = integer_field(o, "heads");
  a.key_value_heads = integer_field(o, "keyValueHeads");
  a.head_size = integer_field(o, "headSize");
  a.intermediate = integer_field(o, "intermediate");
  a.positions = integer_field(o, "positions");
  a.embedding_size = integer_field(o, "embeddingSize");
  a.norm = choice_field<NormKind>(o, "norm", {{"layer", NormKind::layer}, {"rms", NormKind::rms}});
  a.norm_epsilon = number_field(o, "normEpsilon");
  a.norm_weight = choice_field<NormWeight>(
      o, "normWeight", {{"factor", NormWeight::factor}, {"offset", NormWeight::offset}, {"none", NormWeight::none}});
  a.norm_bias = boolean_field(o, "normBias");
  a.norm_order = choice_field<NormOrder>(
      o, "normOrder",
      {{"pre", NormOrder::pre}, {"output", NormOrder::output}, {"both", NormOrder::both}, {"post", NormOrder::post}});
  a.final_norm = boolean_field(o, "finalNorm");
  a.embedding_norm = boolean_field(o, "embeddingNorm");
  a.token_types = integer_field(o, "tokenTypes");
  a.first_attention_norm = boolean_field(o, "firstAttentionNorm");
  a.causal = boolean_field(o, "causal");
  a.position = choice_field<PositionKind>(
      o, "position",
      {{"learned", PositionKind::learned}, {"rotary", PositionKind::rotary}, {"alibi", PositionKind::alibi}});
  a.position_offset = integer_field(o, "positionOffset");
  a.rotary = rotary_of(field(o, "rotary"));
  a.attention = attention_of(field(o, "attention"));
  a.attention_cap = number_field(o, "attentionCap");
  a.parallel_residual = boolean_field(o, "parallelResidual");
  a.shared_norm = boolean_field(o, "sharedNorm");
  a.embedding_scale = number_field(o, "embeddingScale");
  a.residual_scale = number_field(o, "residualScale");
  a.logit_scale = number_field(o, "logitScale");
  a.logit_cap = number_field(o, "logitCap");
  a.activation = activation_field(o);
  a.gated = boolean_field(o, "gated");
  a.fused_gate = boolean_field(o, "fusedGate");
  if (const Napi::Value mixture = o.Get("mixture"); mixture.IsObject())
    a.mixture = mixture_of(mixture.As<Napi::Object>());
  a.qkv = choice_field<QkvLayout>(o, "queryKeyValue",
                                  {{"separate", QkvLayout::separate},
                                   {"concatenated", QkvLayout::concatenated},
                                   {"interleaved", QkvLayout::interleaved}});
  a.query_key_norm = choice_field<QueryKeyNorm>(
      o, "queryKeyNorm",
      {{"none", QueryKeyNorm::none}, {"head", QueryKeyNorm::head}, {"projection", QueryKeyNorm::projection}});
  a.qkv_clip = number_field(o, "queryKeyValueClip");
  a.qkv_bias = boolean_field(o, "queryKeyValueBias");
  a.attention_output_bias = boolean_field(o, "attentionOutputBias");
  a.mlp_bias = boolean_field(o, "mlpBias");
  a.transposed_linears = boolean_field(o, "transposedLinears");
  a.tied_output = boolean_field(o, "tiedOutput");
  a.output_bias = boolean_field(o, "outputBias");
  const Napi::Object dropout = object_field(o, "dropout");
  a.embedding_dropout = number_field(dropout, "embedding");
  a.attention_dropout = number_field(dropout, "attention");
  a.residual_dropout = number_field(dropout, "residual");
  const Napi::Object head = object_field(o, "head");
  a.head = choice_field<HeadKind>(head, "kind",
                                  {{"causalLM", HeadKind::causal_lm},
                                   {"maskedLM", HeadKind::masked_lm},
                                   {"classification", HeadKind::classification},
                                   {"choice", HeadKind::choice}});
  a.labels = integer_field(head, "labels");
  if (const Napi::Value adapter = o.Get("adapter"); adapter.IsObject()) read_adapter(a, adapter.As<Napi::Object>());
  if (!head.Get("readout").IsUndefined())
    a.readout = choice_field<Readout>(head, "readout",
                                      {{"last", Readout::last}, {"first", Readout::first}, {"mean", Readout::mean}});
  if (!head.Get("transform").IsUndefined()) {
    const Napi::Object transform = object_field(head, "transform");
    a.head_transform = {activation_field(transform), boolean_field(transform, "bias"),
                        boolean_field(transform, "norm")};
  }
  if (!head.Get("bias").IsUndefined()) a.head_bias = boolean_field(head, "bias");
  if (!head.Get("dropout").IsUndefined()) a.head_dropout = number_field(head, "dropout");
  validate(a);
  return a;
}

}  // namespace attribution
