// Gradient features of a data set into a row store. Batches are planned over the whole set, and a batch with a missing
// row is made again whole, so that a resumed build ends bit-identical to an uninterrupted one.
#pragma once
#include "instance/features/gradient_features.h"
#include "storage/row_store.h"

namespace attribution {

struct BuildReport {
  int64_t computed = 0;  // rows made by this call; the others were there
  double seconds = 0;
  int64_t tokens = 0;  // of the computed rows
};

/// Rows `first_row` … of the store are the instances, in order.
BuildReport build_store(const Model& model, const Instances& instances, const FeatureSettings& settings,
                        const RowStore& store, int64_t first_row, const std::string& flag_file, int64_t batch_tokens,
                        const Control& control);

/// Features and losses of a few instances, in memory, float; or of all their tokens, in the order of the data set.
InstanceFeatures instance_features(const Model& model, const Instances& instances, const FeatureSettings& settings,
                                   int64_t batch_tokens, bool of_tokens, const Quantity& of, const Control& control);

/// First feature of each module, and the width.
std::vector<int64_t> feature_offsets(const Model& model, const FeatureSettings& settings);

}  // namespace attribution
