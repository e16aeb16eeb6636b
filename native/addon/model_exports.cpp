// Models: open, create, write, evaluate, look inside.
#include <ATen/Context.h>
#include <ATen/Version.h>

#include "addon/architecture_values.h"
#include "addon/exports.h"
#include "addon/job.h"
#include "addon/values.h"
#include "core/error.h"
#include "core/file_lock.h"
#include "engine/engine.h"
#include "instance/gradients/modules.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "model/evaluate.h"

namespace attribution {
namespace {

Build model_result(std::shared_ptr<const Model> model) {
  const std::string hash = fingerprint(*model);
  require_unchanged_files(*model);
  const int64_t parameters = parameter_count(*model);
  return [=](Napi::Env env) -> Napi::Value { return model_info(env, model, hash, parameters); };
}

at::Device device_field(const Napi::Object& p) { return device_named(string_field(p, "device")); }

}  // namespace

Napi::Value open_model_export(const Napi::CallbackInfo& info) {
  const auto p = info[0].As<Napi::Object>();
  const Architecture architecture = architecture_of(object_field(p, "architecture"));
  const auto weights = weights_of(field(p, "weights"));
  const auto dtype = dtype_field(p);
  const auto device = device_field(p);
  const int64_t seed = integer_field(p, "newHeadSeed");
  const double deviation = number_field(p, "newHeadDeviation");
  return start_job(info, info[1].As<Napi::Object>(), [=](const Control& control) {
    return model_result(
        std::make_shared<const Model>(open_model(architecture, weights, dtype, device, seed, deviation, control)));
  });
}

Napi::Value create_model_export(const Napi::CallbackInfo& info) {
  const auto p = info[0].As<Napi::Object>();
  const Architecture architecture = architecture_of(object_field(p, "architecture"));
  const auto dtype = dtype_field(p);
  const auto device = device_field(p);
  const int64_t seed = integer_field(p, "seed");
  const double deviation = number_field(p, "deviation");
  return start_job(info, info[1].As<Napi::Object>(), [=](const Control& control) {
    return model_result(
        std::make_shared<const Model>(create_model(architecture, dtype, device, seed, deviation, control)));
  });
}

Napi::Value add_adapter_export(const Napi::CallbackInfo& info) {
  const auto base = model_of(info[0]);
  const auto p = info[1].As<Napi::Object>();
  const Architecture architecture = architecture_of(object_field(p, "architecture"));
  const auto weights = weights_of(field(p, "weights"));
  const int64_t seed = integer_field(p, "seed");
  return start_job(info, info[2].As<Napi::Object>(), [=](const Control& control) {
    return model_result(std::make_shared<const Model>(add_adapter(*base, architecture, weights, seed, control)));
  });
}

Napi::Value merge_adapter_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  return start_job(info, info[1].As<Napi::Object>(),
                   [=](const Control&) { return model_result(std::make_shared<const Model>(merged(*model))); });
}

Napi::Value close_model_export(const Napi::CallbackInfo& info) {
  close_model(info[0]);
  return info.Env().Undefined();
}

Napi::Value expected_weights_export(const Napi::CallbackInfo& info) {
  const Napi::Array result = Napi::Array::New(info.Env());
  uint32_t count = 0;
  for (const WeightShape& weight : weight_shapes(architecture_of(info[0].As<Napi::Object>()))) {
    Napi::Object described = Napi::Object::New(info.Env());
    const Napi::Array shape = Napi::Array::New(info.Env());
    for (uint32_t i = 0; i < weight.shape.size(); ++i)
      shape.Set(i, Napi::Number::New(info.Env(), static_cast<double>(weight.shape[i])));
    described.Set("name", Napi::String::New(info.Env(), weight.name));
    described.Set("shape", shape);
    result.Set(count++, described);
  }
  return result;
}

Napi::Value module_names_export(const Napi::CallbackInfo& info) {
  const auto names = module_names(architecture_of(info[0].As<Napi::Object>()));
  const Napi::Array result = Napi::Array::New(info.Env(), names.size());
  for (uint32_t i = 0; i < names.size(); ++i) result.Set(i, Napi::String::New(info.Env(), names[i]));
  return result;
}

Napi::Value write_weights_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const auto p = info[1].As<Napi::Object>();
  const std::string file = string_field(p, "file");
  const auto header = bytes_field(p, "header");
  const auto names = strings_field(p, "weights");
  const auto dtype = dtype_field(p);
  return start_job(info, info[2].As<Napi::Object>(), [=](const Control& control) -> Build {
    write_weights(*model, file, header, names, dtype, control);
    return [](Napi::Env env) { return env.Undefined(); };
  });
}

Napi::Value resize_embedding_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const int64_t rows = integer_field(info[1].As<Napi::Object>(), "rows");
  return start_job(info, info[2].As<Napi::Object>(), [=](const Control&) {
    return model_result(std::make_shared<const Model>(resize_embedding(*model, rows)));
  });
}

Napi::Value evaluate_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  const int64_t batch_tokens = integer_field(p, "batchTokens");
  const bool logits = boolean_field(p, "logits");
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const Evaluation e = evaluate(*model, instances, batch_tokens, logits, control);
    return [e](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("losses", float64_array(env, e.losses));
      result.Set("predictions", int32_array(env, e.predictions));
      result.Set("probabilities", float64_array(env, e.probabilities));
      result.Set("targetTokens", int32_array(env, e.target_tokens));
      if (e.logits.defined()) result.Set("logits", float32_array(env, e.logits));
      return result;
    };
  });
}

Napi::Value readout_states_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const int64_t batch_tokens = integer_field(info[2].As<Napi::Object>(), "batchTokens");
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor states = readout_states(*model, instances, batch_tokens, control);
    return [states](Napi::Env env) { return float32_array(env, states); };
  });
}

Napi::Value capture_site_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  const int64_t batch_tokens = integer_field(p, "batchTokens");
  const Site site = site_field(p);
  const auto layers = integers_of(field(p, "layers"), "layers");
  const bool all = choice_field<bool>(p, "positions", {{"readout", false}, {"all", true}});
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor values = capture_site(*model, instances, site, layers, all, batch_tokens, control);
    return [values](Napi::Env env) { return float32_array(env, values); };
  });
}

std::string loaded_libtorch() {
  const std::string text = at::show_config(), key = "TORCH_VERSION=";
  const auto begin = text.find(key);
  return begin == std::string::npos
             ? "unknown"
             : text.substr(begin + key.size(), text.find_first_of(", \n", begin + key.size()) - begin - key.size());
}

Napi::Value versions_export(const Napi::CallbackInfo& info) {
  Napi::Object versions = Napi::Object::New(info.Env());
  versions.Set("libtorch", loaded_libtorch());
  versions.Set("compiledWith", std::string(ATTRIBUTION_LIBTORCH_VERSION));
  versions.Set("cuda", Napi::Boolean::New(info.Env(), at::hasCUDA()));
  versions.Set("threads", Napi::Number::New(info.Env(), Engine::instance().threads()));
  return versions;
}

Napi::Value set_threads_export(const Napi::CallbackInfo& info) {
  const int threads = info[0].ToNumber().Int32Value();
  if (threads < 1 || threads > 4096) fail(Code::invalid, "Expected \"threads\" within 1–4096 but received ", threads);
  Engine::instance().set_threads(threads);
  return info.Env().Undefined();
}

Napi::Value stop_engine_export(const Napi::CallbackInfo& info) {
  Engine::instance().stop();
  return info.Env().Undefined();
}

using LockHandle = std::unique_ptr<FileLock>;

Napi::Value lock_file_export(const Napi::CallbackInfo& info) {
  if (!info[0].IsString()) fail(Code::invalid, "Expected \"path\" to be a string");
  LockHandle lock = FileLock::acquire(info[0].As<Napi::String>().Utf8Value());
  if (!lock) return info.Env().Undefined();
  return Napi::External<LockHandle>::New(info.Env(), new LockHandle(std::move(lock)),
                                         [](Napi::Env, LockHandle* handle) { delete handle; });
}

Napi::Value unlock_file_export(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) fail(Code::invalid, "Expected a lock");
  info[0].As<Napi::External<LockHandle>>().Data()->reset();
  return info.Env().Undefined();
}

}  // namespace attribution
