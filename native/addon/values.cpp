#include "addon/values.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace attribution {
namespace {

template <typename Array, typename T>
std::span<const T> view(const Napi::Value& value, const char* name, napi_typedarray_type type) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
    fail(Code::invalid, "Expected \"", name, "\" to be a typed array of its kind");
  const Array array = value.As<Array>();
  return {array.Data(), array.ElementLength()};
}

template <typename Array>
Napi::Value external(Napi::Env env, const at::Tensor& tensor, at::ScalarType type, napi_typedarray_type kind) {
  auto* const kept = new at::Tensor(tensor.to(at::kCPU, type).contiguous());
  const size_t bytes = kept->nbytes();
  if (bytes == 0) {
    delete kept;
    return Array::New(env, 0);
  }
  const auto buffer = Napi::ArrayBuffer::New(env, kept->data_ptr(), bytes, [kept](Napi::Env, void*) { delete kept; });
  return Array::New(env, static_cast<size_t>(tensor.numel()), buffer, 0, kind);
}

/// Rows of `width` values as a tensor of its own; undefined where there are none.
template <typename T>
at::Tensor matrix_of(std::span<const T> values, const char* name, int64_t width, at::ScalarType type) {
  if (values.empty()) return {};
  const auto count = static_cast<int64_t>(values.size());
  if (count % width != 0)
    fail(Code::mismatch, "Expected \"", name, "\" to hold rows of ", width, " values but received ", count);
  return at::from_blob(const_cast<T*>(values.data()), {count / width, width}, type).clone();
}

}  // namespace

Napi::Value field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) fail(Code::invalid, "Expected \"", name, "\" but received nothing");
  return value;
}

Napi::Object object_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsObject()) fail(Code::invalid, "Expected \"", name, "\" to be an object");
  return value.As<Napi::Object>();
}

std::string string_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsString()) fail(Code::invalid, "Expected \"", name, "\" to be a string");
  return value.As<Napi::String>().Utf8Value();
}

double number_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsNumber()) fail(Code::invalid, "Expected \"", name, "\" to be a number");
  return value.As<Napi::Number>().DoubleValue();
}

int64_t integer_field(const Napi::Object& object, const char* name) {
  const double value = number_field(object, name);
  if (!(std::abs(value) <= 9007199254740991.0) || value != std::floor(value))
    fail(Code::invalid, "Expected \"", name, "\" to be a whole number but received ", value);
  return static_cast<int64_t>(value);
}

bool boolean_field(const Napi::Object& object, const char* name) { return field(object, name).ToBoolean(); }

std::vector<std::string> strings_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsArray()) fail(Code::invalid, "Expected \"", name, "\" to be an array of strings");
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < array.Length(); ++i) strings.push_back(array.Get(i).ToString().Utf8Value());
  return strings;
}

std::vector<int64_t> integers_of(const Napi::Value& value, const char* name) {
  const auto values = view<Napi::Int32Array, int32_t>(value, name, napi_int32_array);
  return {values.begin(), values.end()};
}

std::vector<double> doubles_field(const Napi::Object& object, const char* name) {
  const auto values = view<Napi::Float64Array, double>(field(object, name), name, napi_float64_array);
  return {values.begin(), values.end()};
}

std::vector<uint8_t> bytes_field(const Napi::Object& object, const char* name) {
  const auto values = view<Napi::Uint8Array, uint8_t>(field(object, name), name, napi_uint8_array);
  return {values.begin(), values.end()};
}

at::Tensor matrix_field(const Napi::Object& object, const char* name, int64_t width) {
  const auto values = view<Napi::Float32Array, float>(field(object, name), name, napi_float32_array);
  return matrix_of(values, name, width, at::kFloat);
}

at::Tensor double_matrix_field(const Napi::Object& object, const char* name, int64_t width) {
  const auto values = view<Napi::Float64Array, double>(field(object, name), name, napi_float64_array);
  return matrix_of(values, name, width, at::kDouble);
}

std::vector<int32_t> int32_field(const Napi::Object& object, const char* name) {
  const auto values = view<Napi::Int32Array, int32_t>(field(object, name), name, napi_int32_array);
  return {values.begin(), values.end()};
}

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
  const auto modules = field(o, "modules").As<Napi::Array>();
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

std::vector<WeightSource> weights_of(const Napi::Value& value) {
  if (!value.IsArray()) fail(Code::invalid, "Expected \"weights\" to be an array");
  const auto array = value.As<Napi::Array>();
  std::vector<WeightSource> sources;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const auto o = array.Get(i).As<Napi::Object>();
    WeightSource source;
    source.name = string_field(o, "name");
    source.weight = string_field(o, "weight");
    source.file = string_field(o, "file");
    source.dtype = string_field(o, "dtype");
    const auto shape = field(o, "shape").As<Napi::Array>();
    for (uint32_t k = 0; k < shape.Length(); ++k) source.shape.push_back(shape.Get(k).ToNumber().Int64Value());
    source.offset = static_cast<uint64_t>(integer_field(o, "offset"));
    source.bytes = static_cast<uint64_t>(integer_field(o, "bytes"));
    if (!o.Get("permutedHeads").IsUndefined()) source.permuted_heads = integer_field(o, "permutedHeads");
    sources.push_back(std::move(source));
  }
  return sources;
}

at::ScalarType dtype_field(const Napi::Object& object) {
  return choice_field<at::ScalarType>(object, "dtype",
                                      {{"float32", at::kFloat}, {"bfloat16", at::kBFloat16}, {"float64", at::kDouble}});
}

Instances instances_of(const Napi::Value& value) {
  if (!value.IsObject()) fail(Code::invalid, "Expected instances");
  const auto o = value.As<Napi::Object>();
  constexpr const char* names[] = {"tokens", "rowOffsets", "groupOffsets", "labels", "targets", "tokenTypes"};
  std::span<const int32_t> sources[6], copies[6];
  size_t total = 0;
  for (size_t i = 0; i < 6; ++i) {
    if (i == 5 && o.Get(names[i]).IsUndefined()) continue;
    sources[i] = view<Napi::Int32Array, int32_t>(field(o, names[i]), names[i], napi_int32_array);
    total += sources[i].size();
  }
  const std::shared_ptr<int32_t[]> owner(new int32_t[total]);
  int32_t* next = owner.get();
  for (size_t i = 0; i < 6; ++i) {
    copies[i] = {next, sources[i].size()};
    next = std::copy(sources[i].begin(), sources[i].end(), next);
  }
  return {copies[0], copies[1], copies[2], copies[3], copies[4], owner, copies[5]};
}

TargetOptions target_of(const Napi::Object& o) {
  TargetOptions target;
  target.kind = choice_field<TargetKind>(o, "of",
                                         {{"probability", TargetKind::probability},
                                          {"logProbability", TargetKind::log_probability},
                                          {"logit", TargetKind::logit}});
  const Napi::Value labels = field(o, "labels");
  if (labels.IsString()) {
    target.labels = choice_field<TargetOptions::Labels>(
        o, "labels", {{"predicted", TargetOptions::Labels::predicted}, {"gold", TargetOptions::Labels::gold}});
  } else {
    const auto given = int32_field(o, "labels");
    target.labels = TargetOptions::Labels::given;
    target.given.assign(given.begin(), given.end());
  }
  if (!o.Get("contrast").IsUndefined()) {
    const auto contrast = int32_field(o, "contrast");
    target.contrast.assign(contrast.begin(), contrast.end());
  }
  return target;
}

Site site_field(const Napi::Object& object) {
  return choice_field<Site>(
      object, "site", {{"neurons", Site::neurons}, {"heads", Site::heads}, {"preActivation", Site::pre_activation}});
}

Parts parts_field(const Napi::Object& object) {
  return choice_field<Parts>(
      object, "parts",
      {{"modules", Parts::modules}, {"tokens", Parts::tokens}, {"vectorTokens", Parts::vector_tokens}});
}

Napi::Value float32_array(Napi::Env env, const at::Tensor& t) {
  return external<Napi::Float32Array>(env, t, at::kFloat, napi_float32_array);
}
Napi::Value float64_array(Napi::Env env, const at::Tensor& t) {
  return external<Napi::Float64Array>(env, t, at::kDouble, napi_float64_array);
}
Napi::Value int32_array(Napi::Env env, const at::Tensor& t) {
  return external<Napi::Int32Array>(env, t, at::kInt, napi_int32_array);
}
Napi::Value float64_array(Napi::Env env, const std::vector<double>& values) {
  return float64_array(env, at::tensor(values, at::kDouble));
}

}  // namespace attribution
