// Instance attribution over a model: similarities, influence and its parts.
#include "addon/exports.h"
#include "addon/job.h"
#include "addon/joint_values.h"
#include "addon/quantity_values.h"
#include "addon/values.h"
#include "instance/breakdown.h"
#include "instance/ekfac/ekfac.h"
#include "instance/influence/influence.h"
#include "instance/influence/plan.h"
#include "instance/joint.h"
#include "instance/optimizer_aware.h"
#include "instance/self_influence.h"

namespace attribution {
namespace {

const std::map<std::string, Fisher> fishers = {{"sampled", Fisher::sampled}, {"empirical", Fisher::empirical}};

void read_features(FeatureOptions& o, const Napi::Object& p) {
  o.modules = strings_field(p, "modules");
  o.reduction = choice_field<Reduction>(p, "reduction", {{"sum", Reduction::sum}, {"mean", Reduction::mean}});
  o.batch_tokens = integer_field(p, "batchTokens");
  o.memory_bytes = integer_field(p, "memoryBytes");
  o.of = quantity_field(p);
}

OptimizerAwareOptions optimizer_aware_options(const Napi::Object& p) {
  OptimizerAwareOptions o;
  read_features(o, p);
  o.cosine = choice_field<bool>(p, "similarity", {{"dot", false}, {"cosine", true}});
  o.beta1 = number_field(p, "beta1");
  o.beta2 = number_field(p, "beta2");
  o.epsilon = number_field(p, "epsilon");
  return o;
}

InfluenceOptions influence_options(const Napi::Object& p) {
  InfluenceOptions o;
  read_features(o, p);
  o.inverse = choice_field<Inverse>(p, "inverse",
                                    {{"identity", Inverse::identity},
                                     {"cg", Inverse::cg},
                                     {"lissa", Inverse::lissa},
                                     {"arnoldi", Inverse::arnoldi},
                                     {"ekfac", Inverse::ekfac}});
  o.damping = number_field(p, "damping");
  o.full_path = boolean_field(p, "fullPath");
  o.iterations = integer_field(p, "iterations");
  o.tolerance = number_field(p, "tolerance");
  o.rank = integer_field(p, "rank");
  o.lissa_damping = number_field(p, "lissaDamping");
  o.scale = number_field(p, "scale");
  o.recursions = integer_field(p, "recursions");
  o.repeats = integer_field(p, "repeats");
  o.batch_size = integer_field(p, "batchSize");
  o.seed = integer_field(p, "seed");
  o.fisher = choice_field<Fisher>(p, "fisher", fishers);
  o.factors = weights_of(field(p, "factors"));
  return o;
}

Build influence_result(const Influence& i) {
  return [i](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result.Set("scores", float32_array(env, i.scores));
    result.Set("iterations", Napi::Number::New(env, static_cast<double>(i.iterations)));
    result.Set("residual", Napi::Number::New(env, i.residual));
    result.Set("eigenvalues",
               float64_array(env, i.eigenvalues.defined() ? i.eigenvalues : at::empty({0}, at::kDouble)));
    return result;
  };
}

}  // namespace

Napi::Value gradient_similarity_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances train = instances_of(info[1]), queries = instances_of(info[2]);
  const auto p = info[3].As<Napi::Object>();
  FeatureOptions options;
  read_features(options, p);
  const bool cosine = choice_field<bool>(p, "similarity", {{"dot", false}, {"cosine", true}});
  return start_job(info, info[4].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor scores = gradient_similarity(*model, train, queries, options, cosine, control);
    return [scores](Napi::Env env) { return float32_array(env, scores); };
  });
}

Napi::Value optimizer_aware_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]), first = model_of(info[1]), second = model_of(info[2]);
  const Instances train = instances_of(info[3]), queries = instances_of(info[4]);
  const OptimizerAwareOptions o = optimizer_aware_options(info[5].As<Napi::Object>());
  return start_job(info, info[6].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor scores = optimizer_aware_similarity(*model, {*first, *second}, train, queries, o, control);
    return [scores](Napi::Env env) { return float32_array(env, scores); };
  });
}

Napi::Value optimizer_aware_parts_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]), first = model_of(info[1]), second = model_of(info[2]);
  const Instances train = instances_of(info[3]), queries = instances_of(info[4]);
  const auto p = info[5].As<Napi::Object>();
  const OptimizerAwareOptions o = optimizer_aware_options(p);
  const BreakdownPairs pairs{integers_of(field(p, "sources"), "sources"), integers_of(field(p, "targets"), "targets")};
  const Parts parts = parts_field(p);
  return start_job(info, info[6].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor made = optimizer_aware_parts(*model, {*first, *second}, train, queries, pairs, parts, o, control);
    return [made](Napi::Env env) { return float64_array(env, made); };
  });
}

Napi::Value influence_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances train = instances_of(info[1]), queries = instances_of(info[2]);
  const InfluenceOptions o = influence_options(info[3].As<Napi::Object>());
  return start_job(info, info[4].As<Napi::Object>(), [=](const Control& control) -> Build {
    return influence_result(influence(*model, train, queries, o, control));
  });
}

Napi::Value self_influence_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances train = instances_of(info[1]);
  const InfluenceOptions o = influence_options(info[2].As<Napi::Object>());
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    return influence_result(self_influence(*model, train, o, control));
  });
}

Napi::Value influence_parts_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances train = instances_of(info[1]), sources = instances_of(info[2]), targets = instances_of(info[3]);
  const auto p = info[4].As<Napi::Object>();
  const InfluenceOptions o = influence_options(p);
  const BreakdownPairs pairs{integers_of(field(p, "sources"), "sources"), integers_of(field(p, "targets"), "targets")};
  const Parts parts = parts_field(p);
  const bool cosine = choice_field<bool>(p, "similarity", {{"dot", false}, {"cosine", true}});
  return start_job(info, info[5].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor made = influence_parts(*model, train, sources, targets, pairs, parts, o, cosine, control);
    return [made](Napi::Env env) { return float64_array(env, made); };
  });
}

Napi::Value influence_units_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances train = instances_of(info[1]), sources = instances_of(info[2]), targets = instances_of(info[3]);
  const auto p = info[4].As<Napi::Object>();
  const InfluenceOptions o = influence_options(p);
  const JointRequest request = joint_request(p);
  const bool cosine = choice_field<bool>(p, "similarity", {{"dot", false}, {"cosine", true}});
  return start_job(info, info[5].As<Napi::Object>(), [=](const Control& control) -> Build {
    return joint_result(influence_units(*model, train, sources, targets, request, o, cosine, control));
  });
}

Napi::Value quantity_values_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  const Quantity of = quantity_field(p);
  const int64_t batch_tokens = integer_field(p, "batchTokens");
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor values = quantity_values(*model, instances, of, batch_tokens, control);
    return [values](Napi::Env env) { return float64_array(env, values); };
  });
}

Napi::Value fit_ekfac_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances train = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  InfluenceOptions o;
  read_features(o, p);
  o.seed = integer_field(p, "seed");
  o.fisher = choice_field<Fisher>(p, "fisher", fishers);
  const std::string path = string_field(p, "path");
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const ModuleSelection modules(model->architecture, o.modules);
    const Budget budget(*model, modules, o);
    fit_ekfac(*model, train, modules, fit_within_budget(budget, *model, modules, train, o), control, path);
    return [](Napi::Env env) -> Napi::Value { return env.Undefined(); };
  });
}

}  // namespace attribution
