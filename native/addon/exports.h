// Every function that JavaScript may call; types/native.ts is the other side.
#pragma once
#include <napi.h>

#include <string>

namespace attribution {

std::string loaded_libtorch();

// model_exports.cpp
Napi::Value versions_export(const Napi::CallbackInfo& info);
Napi::Value set_threads_export(const Napi::CallbackInfo& info);
Napi::Value stop_engine_export(const Napi::CallbackInfo& info);
Napi::Value lock_file_export(const Napi::CallbackInfo& info);
Napi::Value unlock_file_export(const Napi::CallbackInfo& info);
Napi::Value open_model_export(const Napi::CallbackInfo& info);
Napi::Value create_model_export(const Napi::CallbackInfo& info);
Napi::Value add_adapter_export(const Napi::CallbackInfo& info);
Napi::Value merge_adapter_export(const Napi::CallbackInfo& info);
Napi::Value close_model_export(const Napi::CallbackInfo& info);
Napi::Value expected_weights_export(const Napi::CallbackInfo& info);
Napi::Value module_names_export(const Napi::CallbackInfo& info);
Napi::Value write_weights_export(const Napi::CallbackInfo& info);
Napi::Value resize_embedding_export(const Napi::CallbackInfo& info);
Napi::Value evaluate_export(const Napi::CallbackInfo& info);
Napi::Value readout_states_export(const Napi::CallbackInfo& info);
Napi::Value capture_site_export(const Napi::CallbackInfo& info);

// method_exports.cpp
Napi::Value neuron_scores_export(const Napi::CallbackInfo& info);
Napi::Value neuron_memory_export(const Napi::CallbackInfo& info);
Napi::Value change_units_export(const Napi::CallbackInfo& info);
Napi::Value generate_export(const Napi::CallbackInfo& info);
Napi::Value input_tokens_export(const Napi::CallbackInfo& info);
Napi::Value patching_scores_export(const Napi::CallbackInfo& info);
Napi::Value unit_tokens_export(const Napi::CallbackInfo& info);

// training_exports.cpp
Napi::Value fine_tune_export(const Napi::CallbackInfo& info);
Napi::Value training_influence_export(const Napi::CallbackInfo& info);

// instance_exports.cpp
Napi::Value gradient_similarity_export(const Napi::CallbackInfo& info);
Napi::Value optimizer_aware_export(const Napi::CallbackInfo& info);
Napi::Value optimizer_aware_parts_export(const Napi::CallbackInfo& info);
Napi::Value influence_export(const Napi::CallbackInfo& info);
Napi::Value self_influence_export(const Napi::CallbackInfo& info);
Napi::Value influence_parts_export(const Napi::CallbackInfo& info);
Napi::Value quantity_values_export(const Napi::CallbackInfo& info);
Napi::Value influence_units_export(const Napi::CallbackInfo& info);
Napi::Value fit_ekfac_export(const Napi::CallbackInfo& info);

// store_exports.cpp
Napi::Value feature_offsets_export(const Napi::CallbackInfo& info);
Napi::Value projection_matrix_export(const Napi::CallbackInfo& info);
Napi::Value principal_directions_export(const Napi::CallbackInfo& info);
Napi::Value sparse_projection_export(const Napi::CallbackInfo& info);
Napi::Value random_places_export(const Napi::CallbackInfo& info);
Napi::Value build_store_export(const Napi::CallbackInfo& info);
Napi::Value gradient_features_export(const Napi::CallbackInfo& info);
Napi::Value feature_parts_export(const Napi::CallbackInfo& info);
Napi::Value feature_units_export(const Napi::CallbackInfo& info);
Napi::Value store_rows_export(const Napi::CallbackInfo& info);
Napi::Value store_preconditioned_export(const Napi::CallbackInfo& info);
Napi::Value store_scores_export(const Napi::CallbackInfo& info);
Napi::Value store_self_scores_export(const Napi::CallbackInfo& info);

}  // namespace attribution
