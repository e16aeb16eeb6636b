// Fine-tuning, and the derivative of what it ends in.
#include "addon/exports.h"
#include "addon/job.h"
#include "addon/values.h"
#include "model/checkpoint.h"
#include "training/fine_tune.h"
#include "training/replay.h"

namespace attribution {
namespace {

FineTuneOptions fine_tune_options(const Napi::Object& p) {
  FineTuneOptions o;
  o.epochs = integer_field(p, "epochs");
  o.batch_size = integer_field(p, "batchSize");
  o.accumulation = integer_field(p, "accumulation");
  o.learning_rate = number_field(p, "learningRate");
  o.weight_decay = number_field(p, "weightDecay");
  o.beta1 = number_field(p, "beta1");
  o.beta2 = number_field(p, "beta2");
  o.epsilon = number_field(p, "epsilon");
  o.optimizer = choice_field<Optimizer>(p, "optimizer", {{"adamw", Optimizer::adamw}, {"sgd", Optimizer::sgd}});
  o.epsilon_root = number_field(p, "epsilonRoot");
  o.momentum = number_field(p, "momentum");
  const std::vector<double> weights = doubles_field(p, "instanceWeights");
  if (!weights.empty()) o.instance_weights = at::tensor(weights, at::kDouble);
  o.schedule = choice_field<Schedule>(p, "schedule", {{"linear", Schedule::linear}, {"constant", Schedule::constant}});
  o.warmup_steps = integer_field(p, "warmupSteps");
  o.clip = number_field(p, "clip");
  o.dropout = boolean_field(p, "dropout");
  o.order = choice_field<Order>(
      p, "order", {{"lengthSorted", Order::length_sorted}, {"shuffled", Order::shuffled}, {"given", Order::given}});
  o.trainable = choice_field<Trainable>(
      p, "trainable", {{"all", Trainable::all}, {"head", Trainable::head}, {"adapter", Trainable::adapter}});
  o.seed = integer_field(p, "seed");
  o.keep_best = choice_field<bool>(p, "keep", {{"best", true}, {"last", false}});
  o.batch_tokens = integer_field(p, "batchTokens");
  o.checkpoint_files = strings_field(p, "checkpointFiles");
  o.checkpoint_header = bytes_field(p, "checkpointHeader");
  o.checkpoint_weights = strings_field(p, "checkpointWeights");
  o.first_moment_files = strings_field(p, "firstMomentFiles");
  o.second_moment_files = strings_field(p, "secondMomentFiles");
  return o;
}

}  // namespace

Napi::Value fine_tune_export(const Napi::CallbackInfo& info) {
  const auto base = model_of(info[0]);
  const Instances train = instances_of(info[1]);
  const Instances evaluation = info[2].IsObject() ? instances_of(info[2]) : Instances{};
  const FineTuneOptions options = fine_tune_options(info[3].As<Napi::Object>());
  return start_job(info, info[4].As<Napi::Object>(), [=](const Control& control) -> Build {
    FineTuneResult r = fine_tune(*base, train, evaluation, options, control);
    const auto model = std::make_shared<const Model>(std::move(r.model));
    const std::string hash = fingerprint(*model);
    const int64_t parameters = parameter_count(*model);
    return [=](Napi::Env env) -> Napi::Value {
      Napi::Object result = model_info(env, model, hash, parameters);
      result.Set("losses", float64_array(env, r.losses));
      result.Set("learningRates", float64_array(env, r.learning_rates));
      result.Set("evaluationLosses", float64_array(env, r.evaluation_losses));
      result.Set("evaluationAccuracies", float64_array(env, r.evaluation_accuracies));
      result.Set("keptEpoch", Napi::Number::New(env, static_cast<double>(r.kept_epoch)));
      return result;
    };
  });
}

Napi::Value training_influence_export(const Napi::CallbackInfo& info) {
  const auto base = model_of(info[0]);
  const Instances train = instances_of(info[1]), queries = instances_of(info[2]);
  const auto p = info[3].As<Napi::Object>();
  const FineTuneOptions training = fine_tune_options(object_field(p, "training"));
  ReplayOptions o;
  o.memory_bytes = integer_field(p, "memoryBytes");
  o.mean_loss = choice_field<bool>(p, "reduction", {{"sum", false}, {"mean", true}});
  o.smoothness = boolean_field(p, "metasmoothness");
  o.smoothness_step = number_field(p, "smoothnessStep");
  o.seed = integer_field(p, "seed");
  return start_job(info, info[4].As<Napi::Object>(), [=](const Control& control) -> Build {
    const Replay r = training_influence(*base, train, queries, training, o, control);
    const std::string hash = fingerprint(r.model);
    return [=](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("hash", Napi::String::New(env, hash));
      result.Set("scores", float64_array(env, r.scores));
      result.Set("queryLosses", float64_array(env, r.query_losses));
      result.Set("losses", float64_array(env, r.losses));
      result.Set("metasmoothness", Napi::Number::New(env, r.metasmoothness));
      result.Set("stepsMade", Napi::Number::New(env, static_cast<double>(r.steps_made)));
      return result;
    };
  });
}

}  // namespace attribution
