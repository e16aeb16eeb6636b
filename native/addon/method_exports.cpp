// Methods: neuron scores, changed units, fine-tuning.
#include "addon/architecture_values.h"
#include "addon/exports.h"
#include "addon/job.h"
#include "addon/values.h"
#include "core/error.h"
#include "model/adapter.h"
#include "neuron/change_units.h"
#include "neuron/generate.h"
#include "neuron/input_tokens.h"
#include "neuron/memory.h"
#include "neuron/neuron_scores.h"
#include "neuron/patching.h"
#include "neuron/unit_tokens.h"

namespace attribution {
namespace {

NeuronOptions neuron_options(const Model& model, const Napi::Object& p) {
  NeuronOptions o;
  o.method = neuron_method(string_field(p, "method"));
  o.site = site_field(p);
  o.layers = integers_of(field(p, "layers"), "layers");
  o.target = target_of(object_field(p, "target"));
  o.completeness = number_field(p, "completeness");
  o.nodes = doubles_field(p, "nodes");
  o.weights = doubles_field(p, "weights");
  o.baseline = matrix_field(p, "baseline", site_width(model.architecture, o.site));
  o.positions = choice_field<Positions>(
      p, "positions", {{"readout", Positions::readout}, {"all", Positions::all}, {"chosen", Positions::chosen}});
  o.chosen_offsets = int32_field(p, "chosenOffsets");
  o.chosen = int32_field(p, "chosen");
  o.full_path = boolean_field(p, "fullPath");
  o.batch_tokens = integer_field(p, "batchTokens");
  o.memory_bytes = integer_field(p, "memoryBytes");
  return o;
}

at::Tensor replacement_field(const Napi::Object& p, const char* name, const Model& model, Site site) {
  const at::Tensor values = matrix_field(p, name, site_width(model.architecture, site));
  if (values.defined() && values.size(0) != model.architecture.layers)
    fail(Code::mismatch, "Expected \"", name, "\" to hold one row per layer");
  return values;
}

UnitSets unit_sets(const Model& model, const Napi::Object& p) {
  UnitSets sets;
  const std::string site = string_field(p, "site");
  if (site != "neurons" && site != "heads" && site != "both") fail(Code::invalid, "\"", site, "\" is no site of units");
  sets.neurons = site != "heads";
  sets.heads = site != "neurons";
  sets.change = choice_field<Change>(
      p, "change", {{"suppress", Change::suppress}, {"keepOnly", Change::keep_only}, {"scale", Change::scale}});
  sets.factor = number_field(p, "factor");
  sets.neuron_replacement = replacement_field(p, "neuronReplacement", model, Site::neurons);
  sets.head_replacement = replacement_field(p, "headReplacement", model, Site::heads);
  sets.sets = integer_field(p, "sets");
  sets.offsets = int32_field(p, "offsets");
  sets.units = int32_field(p, "units");
  sets.target = target_of(object_field(p, "target"));
  sets.full_path = boolean_field(p, "fullPath");
  sets.batch_tokens = integer_field(p, "batchTokens");
  sets.memory_bytes = integer_field(p, "memoryBytes");
  return sets;
}

}  // namespace

Napi::Value neuron_scores_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const NeuronOptions options = neuron_options(*model, info[2].As<Napi::Object>());
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const NeuronScores s = neuron_scores(merged(*model), instances, options, control);
    return [s](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("scores", float32_array(env, s.scores));
      result.Set("targetValues", float64_array(env, s.target_values));
      result.Set("targetLabels", int32_array(env, s.target_labels));
      result.Set("completenessGap", float64_array(env, s.completeness_gap));
      result.Set("unitErrors", float64_array(env, s.unit_errors));
      return result;
    };
  });
}

Napi::Value neuron_memory_export(const Napi::CallbackInfo& info) {
  const auto p = info[0].As<Napi::Object>();
  const Architecture architecture = architecture_of(object_field(p, "architecture"));
  validate(architecture);
  const BatchShape shape{integer_field(p, "instances"), integer_field(p, "rows"), integer_field(p, "longest")};
  const auto effort = choice_field<Effort>(
      p, "effort", {{"rows", Effort::rows}, {"gradients", Effort::gradients}, {"forwards", Effort::forwards}});
  const NeuronMemory m = neuron_memory(architecture, dtype_field(p), shape, effort);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("cache", Napi::Number::New(info.Env(), static_cast<double>(m.cache)));
  result.Set("forward", Napi::Number::New(info.Env(), static_cast<double>(m.forward)));
  result.Set("variant", Napi::Number::New(info.Env(), static_cast<double>(m.variant)));
  return result;
}

Napi::Value change_units_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const UnitSets sets = unit_sets(*model, info[2].As<Napi::Object>());
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const ChangedPredictions c = change_units(merged(*model), instances, sets, control);
    return [c](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("predictions", int32_array(env, c.predictions));
      result.Set("labels", int32_array(env, c.labels));
      result.Set("values", float64_array(env, c.values));
      result.Set("changedPredictions", int32_array(env, c.changed_predictions));
      result.Set("changedValues", float64_array(env, c.changed_values));
      return result;
    };
  });
}

Napi::Value generate_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances prompts = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  const UnitSets sets = unit_sets(*model, p);
  const int64_t tokens = integer_field(p, "tokens");
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor made = generate(merged(*model), prompts, sets, tokens, control);
    return [made](Napi::Env env) -> Napi::Value { return int32_array(env, made); };
  });
}

Napi::Value input_tokens_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  InputTokenOptions o;
  o.target = target_of(object_field(p, "target"));
  o.nodes = doubles_field(p, "nodes");
  o.weights = doubles_field(p, "weights");
  o.mean_baseline = choice_field<bool>(p, "baseline", {{"zero", false}, {"mean", true}});
  o.batch_tokens = integer_field(p, "batchTokens");
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const InputTokenScores s = input_tokens(merged(*model), instances, o, control);
    return [s](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("scores", float64_array(env, s.scores));
      result.Set("targetValues", float64_array(env, s.target_values));
      result.Set("targetLabels", int32_array(env, s.target_labels));
      result.Set("completenessGap", float64_array(env, s.completeness_gap));
      return result;
    };
  });
}

Napi::Value patching_scores_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  PatchingOptions o;
  const std::string site = string_field(p, "site");
  if (site != "neurons" && site != "heads" && site != "both") fail(Code::invalid, "\"", site, "\" is no site of units");
  o.neurons = site != "heads";
  o.heads = site != "neurons";
  o.part = choice_field<HeadPart>(
      p, "part",
      {{"output", HeadPart::output}, {"query", HeadPart::query}, {"key", HeadPart::key}, {"value", HeadPart::value}});
  o.drop_layers = boolean_field(p, "dropLayers");
  o.target = target_of(object_field(p, "target"));
  o.rule.rule = choice_field<BackwardRule>(
      p, "rule", {{"gradient", BackwardRule::gradient}, {"relp", BackwardRule::relp}, {"gim", BackwardRule::gim}});
  o.rule.detach_attention = boolean_field(p, "detachAttention");
  o.neuron_baseline = replacement_field(p, "neuronBaseline", *model, Site::neurons);
  o.head_baseline = replacement_field(p, "headBaseline", *model, Site::heads);
  o.batch_tokens = integer_field(p, "batchTokens");
  o.memory_bytes = integer_field(p, "memoryBytes");
  if (p.Get("counterfactual").IsObject()) o.counterfactual = instances_of(p.Get("counterfactual"));
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const PatchingScores s = patching_scores(merged(*model), instances, o, control);
    return [s](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("scores", float32_array(env, s.scores));
      result.Set("targetValues", float64_array(env, s.target_values));
      result.Set("targetLabels", int32_array(env, s.target_labels));
      return result;
    };
  });
}

Napi::Value unit_tokens_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const auto p = info[1].As<Napi::Object>();
  UnitWrites writes;
  writes.site = site_field(p);
  writes.layers = integers_of(field(p, "layers"), "layers");
  writes.units = integers_of(field(p, "units"), "units");
  writes.values = matrix_field(p, "values", writes.site == Site::heads ? model->architecture.head_size : 1);
  writes.rank_of = integers_of(field(p, "rankOf"), "rankOf");
  writes.top = integer_field(p, "top");
  return start_job(info, info[2].As<Napi::Object>(), [=](const Control& control) -> Build {
    const UnitTokens t = unit_tokens(merged(*model), writes, control);
    return [t](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("ids", int32_array(env, t.ids));
      result.Set("logits", float32_array(env, t.logits));
      result.Set("ranks", int32_array(env, t.ranks));
      return result;
    };
  });
}

}  // namespace attribution
