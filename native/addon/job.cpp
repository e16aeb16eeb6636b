#include "addon/job.h"

#include <chrono>

#include "engine/engine.h"
#include "engine/failure.h"
#include "model/checkpoint.h"

namespace attribution {
namespace {

using Clock = std::chrono::steady_clock;

struct ModelHandle {
  std::shared_ptr<const Model> model;
};

/// Gives up a model on the engine's thread: freeing gigabytes takes longer than JavaScript's may.
void release(std::shared_ptr<const Model> model) {
  if (!model) return;
  auto job = std::make_shared<Job>();
  job->run = [model = std::move(model)](Job&) mutable { model.reset(); };
  Engine::instance().submit(std::move(job));
}

Napi::Error to_error(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Set("code", Napi::String::New(env, code_name(failure.code)));
  return error;
}

/// One call. The engine's job and the thread-safe function share it; what belongs to JavaScript is dropped on its
/// thread.
struct Call {
  explicit Call(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise::Deferred deferred;
  Napi::Reference<Napi::Value> kept;
  Napi::FunctionReference progress;
  Napi::ThreadSafeFunction speak;
  const volatile uint8_t* abort = nullptr;
  Clock::time_point last_report{};
  std::string last_stage;
  std::vector<std::shared_ptr<const Model>> models;  // that the call was given
  Work work;  // given up on the engine's thread: it may hold the last reference to a model
  Build build;
  std::unique_ptr<Failure> failure;
  std::shared_ptr<Job> job;
};

struct Report {
  int64_t done, total;
  std::string stage;
};

void settle(Napi::Env env, Call& call) {
  if (call.failure) {
    call.deferred.Reject(to_error(env, *call.failure).Value());
    return;
  }
  try {
    call.deferred.Resolve(call.build(env));
  } catch (const Napi::Error& error) {
    call.deferred.Reject(error.Value());
  } catch (...) {
    call.deferred.Reject(to_error(env, current_failure()).Value());
  }
}

void report(Call& call, int64_t done, int64_t total, const std::string& stage) {
  if (call.progress.IsEmpty()) return;
  const auto now = Clock::now();
  const bool is_news = done == total || stage != call.last_stage;
  if (!is_news && now - call.last_report < std::chrono::milliseconds(50)) return;
  call.last_report = now;
  call.last_stage = stage;
  auto* const data = new Report{done, total, stage};
  const auto tell = [&call](Napi::Env env, Napi::Function, Report* r) {
    const std::unique_ptr<Report> owned(r);
    if (env == nullptr) return;
    const Napi::HandleScope scope(env);
    try {
      call.progress.Call({Napi::Number::New(env, static_cast<double>(r->done)),
                          Napi::Number::New(env, static_cast<double>(r->total)), Napi::String::New(env, r->stage)});
    } catch (const Napi::Error&) {
      // lib/native.ts catches what a listener throws; nothing may escape into the event loop from here
    }
  };
  if (call.speak.NonBlockingCall(data, tell) != napi_ok) delete data;
}

void require_unchanged_files(const Call& call) {
  for (const auto& model : call.models) require_unchanged_files(*model);
}

/// After the work: whatever came of it, files that changed meanwhile are the reason.
void blame_files(Call& call) {
  try {
    require_unchanged_files(call);
  } catch (...) {
    call.failure = std::make_unique<Failure>(current_failure());
  }
}

void run(Call& call, const Job& job) {
  const Control control(
      [&] { return job.cancelled || (call.abort && *call.abort != 0); },
      [&](int64_t done, int64_t total, const std::string& stage) { report(call, done, total, stage); });
  try {
    control.check();
    require_unchanged_files(call);
    call.build = call.work(control);
  } catch (...) {
    call.failure = std::make_unique<Failure>(current_failure());
  }
  if (!call.failure || call.failure->code != Code::aborted) blame_files(call);
  call.work = nullptr;
  call.models.clear();
  const auto tell = [](Napi::Env env, Napi::Function, Call* finished) {
    if (env == nullptr) return;
    const Napi::HandleScope scope(env);
    settle(env, *finished);
  };
  if (call.speak.BlockingCall(&call, tell) != napi_closing) call.speak.Release();
}

/// On the JavaScript thread, after the call settled or because its environment ends: the job must not outlive what it
/// reads.
void drop(const std::shared_ptr<Call>& call) {
  Engine::instance().end(call->job);
  call->job->run = nullptr;
  call->kept.Reset();
  call->progress.Reset();
  call->build = nullptr;
}

}  // namespace

Napi::Value start_job(const Napi::CallbackInfo& info, const Napi::Object& control, Work work) {
  const Napi::Env env = info.Env();
  const auto call = std::make_shared<Call>(env);
  for (size_t i = 0; i < info.Length(); ++i) {
    if (info[i].IsExternal()) call->models.push_back(model_of(info[i]));
  }
  call->kept = Napi::Reference<Napi::Value>::New(control, 1);  // its abort flag is read in place
  const Napi::Value progress = control.Get("progress");
  if (progress.IsFunction()) call->progress = Napi::Persistent(progress.As<Napi::Function>());
  const Napi::Value abort = control.Get("abort");
  if (abort.IsTypedArray() && abort.As<Napi::TypedArray>().ByteLength() > 0)
    call->abort = abort.As<Napi::Uint8Array>().Data();
  const Napi::Value promise = call->deferred.Promise();
  call->job = std::make_shared<Job>();
  call->work = std::move(work);
  call->job->run = [raw = call.get()](Job& self) { run(*raw, self); };
  const auto nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
  call->speak = Napi::ThreadSafeFunction::New(env, nothing, "attribution", 0, 1, [call](Napi::Env) { drop(call); });
  Engine::instance().submit(call->job);
  return promise;
}

Napi::Value guarded(const Napi::CallbackInfo& info, const std::function<Napi::Value()>& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_error(info.Env(), current_failure());
  }
}

std::shared_ptr<const Model> model_of(const Napi::Value& handle) {
  if (!handle.IsExternal()) fail(Code::invalid, "Expected a model");
  const auto model = handle.As<Napi::External<ModelHandle>>().Data()->model;
  if (!model) fail(Code::invalid, "The model is closed");
  return model;
}

Napi::Object model_info(Napi::Env env, std::shared_ptr<const Model> model, const std::string& hash,
                        int64_t parameters) {
  Napi::Object info = Napi::Object::New(env);
  info.Set("model",
           Napi::External<ModelHandle>::New(env, new ModelHandle{std::move(model)}, [](Napi::Env, ModelHandle* handle) {
             release(std::move(handle->model));
             delete handle;
           }));
  info.Set("hash", Napi::String::New(env, hash));
  info.Set("parameters", Napi::Number::New(env, static_cast<double>(parameters)));
  return info;
}

void close_model(const Napi::Value& handle) {
  if (handle.IsExternal()) release(std::move(handle.As<Napi::External<ModelHandle>>().Data()->model));
}

}  // namespace attribution
