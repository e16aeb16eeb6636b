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
