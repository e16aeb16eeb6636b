// The addon's door: the export list, and a check that libtorch is the one it was compiled with.
#include <napi.h>

#include "addon/exports.h"
#include "addon/job.h"

namespace attribution {
namespace {

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value exported(const Napi::CallbackInfo& info) {
  return guarded(info, [&] { return function(info); });
}

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
void add(Napi::Object& exports, const char* name) {
  exports.Set(name, Napi::Function::New<exported<function>>(exports.Env(), name));
}

/// "2.13.0+cpu" and "2.13.0" are one version.
std::string release(const std::string& version) { return version.substr(0, version.find('+')); }

Napi::Object init(Napi::Env env, Napi::Object exports) {
  const std::string loaded = release(loaded_libtorch()), compiled = release(ATTRIBUTION_LIBTORCH_VERSION);
  if (loaded != compiled) {
    throw Napi::Error::New(env, "attribution was compiled for libtorch " + compiled +
                                    " but the process loaded libtorch " + loaded +
                                    ": run `npm rebuild attribution`, or do not load another libtorch first");
  }
  add<versions_export>(exports, "versions");
  add<set_threads_export>(exports, "setThreads");
  add<stop_engine_export>(exports, "stopEngine");
  add<lock_file_export>(exports, "lockFile");
  add<unlock_file_export>(exports, "unlockFile");
  add<open_model_export>(exports, "openModel");
  add<create_model_export>(exports, "createModel");
  add<add_adapter_export>(exports, "addAdapter");
  add<merge_adapter_export>(exports, "mergeAdapter");
  add<close_model_export>(exports, "closeModel");
  add<expected_weights_export>(exports, "expectedWeights");
  add<module_names_export>(exports, "moduleNames");
  add<write_weights_export>(exports, "writeWeights");
  add<resize_embedding_export>(exports, "resizeEmbedding");
  add<evaluate_export>(exports, "evaluate");
  add<readout_states_export>(exports, "readoutStates");
  add<capture_site_export>(exports, "captureSite");
  add<neuron_scores_export>(exports, "neuronScores");
  add<neuron_memory_export>(exports, "neuronMemory");
  add<change_units_export>(exports, "changeUnits");
  add<generate_export>(exports, "generate");
  add<input_tokens_export>(exports, "inputTokens");
  add<patching_scores_export>(exports, "patchingScores");
  add<unit_tokens_export>(exports, "unitTokens");
  add<gradient_similarity_export>(exports, "gradientSimilarity");
  add<optimizer_aware_export>(exports, "optimizerAwareSimilarity");
  add<optimizer_aware_parts_export>(exports, "optimizerAwareParts");
  add<influence_export>(exports, "influence");
  add<self_influence_export>(exports, "selfInfluence");
  add<influence_parts_export>(exports, "influenceParts");
  add<quantity_values_export>(exports, "quantityValues");
  add<influence_units_export>(exports, "influenceUnits");
  add<fit_ekfac_export>(exports, "fitEkfac");
  add<fine_tune_export>(exports, "fineTune");
  add<training_influence_export>(exports, "trainingInfluence");
  add<feature_offsets_export>(exports, "featureOffsets");
  add<projection_matrix_export>(exports, "projectionMatrix");
  add<sparse_projection_export>(exports, "sparseProjection");
  add<random_places_export>(exports, "randomPlaces");
  add<principal_directions_export>(exports, "principalDirections");
  add<build_store_export>(exports, "buildStore");
  add<gradient_features_export>(exports, "gradientFeatures");
  add<feature_parts_export>(exports, "featureParts");
  add<feature_units_export>(exports, "featureUnits");
  add<store_rows_export>(exports, "storeRows");
  add<store_preconditioned_export>(exports, "storePreconditioned");
  add<store_scores_export>(exports, "storeScores");
  add<store_self_scores_export>(exports, "storeSelfScores");
  return exports;
}

}  // namespace

NODE_API_MODULE(attribution, init)

}  // namespace attribution
