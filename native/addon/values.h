// JavaScript values to plain structs and tensors back to typed arrays. On the JavaScript thread only.
#pragma once
#include <ATen/ATen.h>
#include <napi.h>

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "instance/breakdown.h"
#include "model/batch.h"
#include "model/checkpoint.h"
#include "neuron/readout_target.h"

namespace attribution {

Napi::Value field(const Napi::Object& object, const char* name);
Napi::Object object_field(const Napi::Object& object, const char* name);
std::string string_field(const Napi::Object& object, const char* name);
double number_field(const Napi::Object& object, const char* name);
int64_t integer_field(const Napi::Object& object, const char* name);
bool boolean_field(const Napi::Object& object, const char* name);
std::vector<std::string> strings_field(const Napi::Object& object, const char* name);
std::vector<int64_t> integers_of(const Napi::Value& value, const char* name);     // Int32Array
std::vector<double> doubles_field(const Napi::Object& object, const char* name);  // Float64Array
std::vector<uint8_t> bytes_field(const Napi::Object& object, const char* name);
/// A Float32Array of rows × width values as a tensor of its own; undefined where it is empty.
at::Tensor matrix_field(const Napi::Object& object, const char* name, int64_t width);
/// The same of a Float64Array.
at::Tensor double_matrix_field(const Napi::Object& object, const char* name, int64_t width);
/// A copy of the array, which JavaScript may change or transfer while a job runs.
std::vector<int32_t> int32_field(const Napi::Object& object, const char* name);

template <typename T>
T choice_field(const Napi::Object& object, const char* name, const std::map<std::string, T>& choices) {
  const std::string text = string_field(object, name);
  const auto found = choices.find(text);
  if (found == choices.end()) fail(Code::invalid, "\"", text, "\" is no ", name);
  return found->second;
}

std::vector<WeightSource> weights_of(const Napi::Value& value);
at::ScalarType dtype_field(const Napi::Object& object);
/// Copies the arrays, as int32_field does.
Instances instances_of(const Napi::Value& value);
TargetOptions target_of(const Napi::Object& object);
Site site_field(const Napi::Object& object);
Parts parts_field(const Napi::Object& object);

/// Typed arrays over the tensor's memory, which they keep alive.
Napi::Value float32_array(Napi::Env env, const at::Tensor& tensor);
Napi::Value float64_array(Napi::Env env, const at::Tensor& tensor);
Napi::Value int32_array(Napi::Env env, const at::Tensor& tensor);
Napi::Value float64_array(Napi::Env env, const std::vector<double>& values);

}  // namespace attribution
