// Gradient stores: build, features of queries, scores without a model.
#include "addon/exports.h"
#include "addon/job.h"
#include "addon/joint_values.h"
#include "addon/quantity_values.h"
#include "addon/values.h"
#include "core/error.h"
#include "instance/breakdown.h"
#include "instance/features/principal_directions.h"
#include "instance/joint.h"
#include "instance/store/build.h"
#include "instance/store/scores.h"

namespace attribution {
namespace {

const std::map<std::string, ProjectionKind> projections = {
    {"gaussian", ProjectionKind::gaussian}, {"rademacher", ProjectionKind::rademacher},
    {"pca", ProjectionKind::pca},           {"dense", ProjectionKind::dense},
    {"sparse", ProjectionKind::sparse},     {"factoredSparse", ProjectionKind::factored_sparse}};

FeatureSettings settings_of(const Napi::Object& p) {
  FeatureSettings s;
  s.modules = strings_field(p, "modules");
  s.rank = integer_field(p, "rank");
  s.mask = integer_field(p, "mask");
  const at::Tensor bases = matrix_field(p, "bases", 1);
  if (bases.defined()) s.bases = bases.flatten();
  s.projection = choice_field<ProjectionKind>(p, "projection", projections);
  s.seed = static_cast<uint64_t>(integer_field(p, "seed"));
  s.reduction = choice_field<Reduction>(p, "reduction", {{"sum", Reduction::sum}, {"mean", Reduction::mean}});
  return s;
}

RowStore store_of(const Napi::Object& p) {
  RowStore store;
  store.type = choice_field<RowType>(p, "type",
                                     {{"float32", RowType::float32},
                                      {"float16", RowType::float16},
                                      {"bfloat16", RowType::bfloat16},
                                      {"int8", RowType::int8}});
  store.segments = integers_of(field(p, "segments"), "segments");
  if (store.segments.size() < 2 || store.segments.front() != 0 || store.width() < 1)
    fail(Code::invalid, "A store needs at least one segment");
  const auto shards = field(p, "shards").As<Napi::Array>();
  for (uint32_t i = 0; i < shards.Length(); ++i) {
    const auto o = shards.Get(i).As<Napi::Object>();
    store.shards.push_back(
        {string_field(o, "file"), integer_field(o, "rows"), static_cast<uint64_t>(integer_field(o, "features")),
         static_cast<uint64_t>(integer_field(o, "scales")), static_cast<uint64_t>(integer_field(o, "losses"))});
  }
  return store;
}

at::Tensor doubts_field(const Napi::Object& p, const char* name) {
  const std::vector<double> values = doubles_field(p, name);
  return values.empty() ? at::Tensor() : at::tensor(values, at::kDouble);
}

ScoreOptions score_options(const Napi::Object& p) {
  ScoreOptions o;
  o.preconditioner = choice_field<Preconditioner>(p, "preconditioner",
                                                  {{"none", Preconditioner::none},
                                                   {"gaussNewton", Preconditioner::gauss_newton},
                                                   {"dataInf", Preconditioner::datainf},
                                                   {"trak", Preconditioner::trak}});
  o.damping = number_field(p, "damping");
  o.cosine = choice_field<bool>(p, "similarity", {{"dot", false}, {"cosine", true}});
  o.top = integer_field(p, "top");
  o.row_doubts = doubts_field(p, "rowDoubts");
  o.query_doubts = doubts_field(p, "queryDoubts");
  o.memory_bytes = integer_field(p, "memoryBytes");
  return o;
}

/// A store, vectors [query, width] in the space of its features, and what is done to them.
struct StoreQuery {
  RowStore store;
  at::Tensor queries;
  ScoreOptions options;
};

StoreQuery store_query(const Napi::CallbackInfo& info) {
  const RowStore store = store_of(info[0].As<Napi::Object>());
  const auto p = info[1].As<Napi::Object>();
  const at::Tensor queries = matrix_field(p, "queries", store.width());
  if (!queries.defined()) fail(Code::invalid, "Expected at least one query");
  return {store, queries, score_options(p)};
}

}  // namespace

Napi::Value feature_offsets_export(const Napi::CallbackInfo& info) {
  const auto offsets = feature_offsets(*model_of(info[0]), settings_of(info[1].As<Napi::Object>()));
  auto result = Napi::Int32Array::New(info.Env(), offsets.size());
  for (size_t i = 0; i < offsets.size(); ++i) result[i] = static_cast<int32_t>(offsets[i]);
  return result;
}

Napi::Value projection_matrix_export(const Napi::CallbackInfo& info) {
  const auto p = info[0].As<Napi::Object>();
  const auto kind = choice_field<ProjectionKind>(p, "projection", projections);
  return float32_array(info.Env(),
                       projection_matrix(kind, integer_field(p, "rank"), integer_field(p, "width"),
                                         static_cast<uint64_t>(integer_field(p, "seed")), string_field(p, "name")));
}

Napi::Value principal_directions_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  const FeatureSettings settings = settings_of(object_field(p, "settings"));
  const int64_t batch_tokens = integer_field(p, "batchTokens");
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor directions = principal_directions(*model, instances, settings, batch_tokens, control);
    return [directions](Napi::Env env) { return float32_array(env, directions); };
  });
}

/// The entry of each column and its sign, as two arrays.
Napi::Value sparse_projection_export(const Napi::CallbackInfo& info) {
  const auto p = info[0].As<Napi::Object>();
  const SparseProjection s =
      sparse_projection(integer_field(p, "features"), integer_field(p, "width"),
                        static_cast<uint64_t>(integer_field(p, "seed")), string_field(p, "name"));
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("buckets", int32_array(info.Env(), s.buckets.to(at::kInt)));
  result.Set("signs", float32_array(info.Env(), s.signs));
  return result;
}

/// Places that a mask keeps.
Napi::Value random_places_export(const Napi::CallbackInfo& info) {
  const auto p = info[0].As<Napi::Object>();
  return int32_array(info.Env(), random_places(integer_field(p, "kept"), integer_field(p, "width"),
                                               static_cast<uint64_t>(integer_field(p, "seed")), string_field(p, "name"))
                                     .to(at::kInt));
}

Napi::Value build_store_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  const FeatureSettings settings = settings_of(object_field(p, "settings"));
  const RowStore store = store_of(object_field(p, "store"));
  const int64_t first_row = integer_field(p, "firstRow"), batch_tokens = integer_field(p, "batchTokens");
  const std::string flags = string_field(p, "flagFile");
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const BuildReport r = build_store(*model, instances, settings, store, first_row, flags, batch_tokens, control);
    return [r](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("computed", Napi::Number::New(env, static_cast<double>(r.computed)));
      result.Set("seconds", Napi::Number::New(env, r.seconds));
      result.Set("tokens", Napi::Number::New(env, static_cast<double>(r.tokens)));
      return result;
    };
  });
}

Napi::Value gradient_features_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances instances = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  const FeatureSettings settings = settings_of(object_field(p, "settings"));
  const int64_t batch_tokens = integer_field(p, "batchTokens");
  const bool of_tokens = p.Has("ofTokens") && boolean_field(p, "ofTokens");
  const Quantity of = quantity_field(p);
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const InstanceFeatures features =
        instance_features(*model, instances, settings, batch_tokens, of_tokens, of, control);
    return [features](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("features", float32_array(env, features.values));
      result.Set("losses", float32_array(env, features.losses));
      return result;
    };
  });
}

Napi::Value feature_parts_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances targets = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  const FeatureSettings settings = settings_of(object_field(p, "settings"));
  const at::Tensor vectors = double_matrix_field(p, "vectors", integer_field(p, "width"));
  if (!vectors.defined()) fail(Code::invalid, "Expected at least one vector");
  const BreakdownPairs pairs{integers_of(field(p, "sources"), "sources"), integers_of(field(p, "targets"), "targets")};
  const Parts parts = parts_field(p);
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor made = feature_parts(*model, targets, vectors, pairs, parts, settings, control);
    return [made](Napi::Env env) { return float64_array(env, made); };
  });
}

Napi::Value feature_units_export(const Napi::CallbackInfo& info) {
  const auto model = model_of(info[0]);
  const Instances targets = instances_of(info[1]);
  const auto p = info[2].As<Napi::Object>();
  const FeatureSettings settings = settings_of(object_field(p, "settings"));
  const at::Tensor vectors = double_matrix_field(p, "vectors", integer_field(p, "width"));
  if (!vectors.defined()) fail(Code::invalid, "Expected at least one vector");
  const JointRequest request = joint_request(p);
  const auto scales = [&](const char* name) {
    const std::vector<double> values = doubles_field(p, name);
    return values.empty() ? at::Tensor() : at::tensor(values, at::kDouble);
  };
  const FeatureScales both{scales("sourceScales"), scales("targetScales")};
  const int64_t batch_tokens = integer_field(p, "batchTokens");
  return start_job(info, info[3].As<Napi::Object>(), [=](const Control& control) -> Build {
    return joint_result(feature_units(*model, targets, vectors, request, both, settings, batch_tokens, control));
  });
}

Napi::Value store_rows_export(const Napi::CallbackInfo& info) {
  const RowStore store = store_of(info[0].As<Napi::Object>());
  const std::vector<int64_t> rows = integers_of(field(info[1].As<Napi::Object>(), "rows"), "rows");
  return start_job(info, info[2].As<Napi::Object>(), [=](const Control&) -> Build {
    const at::Tensor values = read_rows(store, rows);
    return [values](Napi::Env env) { return float32_array(env, values); };
  });
}

Napi::Value store_preconditioned_export(const Napi::CallbackInfo& info) {
  const StoreQuery q = store_query(info);
  return start_job(info, info[2].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor vectors = preconditioned(q.store, q.queries, q.options, control);
    return [vectors](Napi::Env env) { return float64_array(env, vectors); };
  });
}

Napi::Value store_scores_export(const Napi::CallbackInfo& info) {
  const StoreQuery q = store_query(info);
  return start_job(info, info[2].As<Napi::Object>(), [=](const Control& control) -> Build {
    const StoreScores s = store_scores(q.store, q.queries, q.options, control);
    return [s](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("scores", float32_array(env, s.scores));
      result.Set("indices", int32_array(env, s.indices.defined() ? s.indices : at::empty({0}, at::kInt)));
      return result;
    };
  });
}

Napi::Value store_self_scores_export(const Napi::CallbackInfo& info) {
  const RowStore store = store_of(info[0].As<Napi::Object>());
  const ScoreOptions options = score_options(info[1].As<Napi::Object>());
  return start_job(info, info[2].As<Napi::Object>(), [=](const Control& control) -> Build {
    const at::Tensor self = store_self_scores(store, options, control);
    return [self](Napi::Env env) { return float32_array(env, self); };
  });
}

}  // namespace attribution
