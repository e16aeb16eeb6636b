// A call from JavaScript as a job of the engine: arguments are read on the JavaScript thread, the work runs on the
// engine's, and its result is built on the JavaScript thread again.
#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/control.h"
#include "model/weights.h"

namespace attribution {

using Build = std::function<Napi::Value(Napi::Env)>;
using Work = std::function<Build(const Control&)>;

/// Queues the work. `control` is {abort, progress?}. Nothing of JavaScript's is read after the call but the abort flag.
/// The files of the models among the arguments are checked before and after the work.
Napi::Value start_job(const Napi::CallbackInfo& info, const Napi::Object& control, Work work);

/// Runs a function and throws what it fails with as a JavaScript error with a `code`.
Napi::Value guarded(const Napi::CallbackInfo& info, const std::function<Napi::Value()>& body);

/// The model behind a handle; a closed one is refused.
std::shared_ptr<const Model> model_of(const Napi::Value& handle);
/// {model, hash, parameters}
Napi::Object model_info(Napi::Env env, std::shared_ptr<const Model> model, const std::string& hash, int64_t parameters);
void close_model(const Napi::Value& handle);

}  // namespace attribution
