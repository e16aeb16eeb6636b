#include "instance/store/build.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"
#include "model/evaluate.h"

namespace attribution {
namespace {

/// Features of a batch on the CPU as float; a gradient that is no number stops the run.
InstanceFeatures host_features(const FeatureExtractor& extractor, const Model& model, const Batch& batch,
                               bool of_tokens = false, const Quantity& of = {}) {
  const InstanceFeatures made = extractor.features(model, batch, of_tokens, of);
  InstanceFeatures host{made.values.to(at::kCPU, at::kFloat).contiguous(),
                        made.losses.to(at::kCPU, at::kFloat).contiguous()};
  if (!at::isfinite(host.values.sum()).item<bool>() && !at::isfinite(host.values).all().item<bool>()) {
    fail(Code::native, "A gradient is not finite in the batch of instance ", batch.instances.front(),
         ": check the model's weights for NaN");
  }
  return host;
}

}  // namespace

BuildReport build_store(const Model& model, const Instances& d, const FeatureSettings& settings, const RowStore& store,
                        int64_t first_row, const std::string& flag_file, int64_t batch_tokens, const Control& control) {
  check_instances(model, d, "train");
  const FeatureExtractor extractor(model, settings);
  if (extractor.offsets() != store.segments)
    fail(Code::mismatch, "The store has ", store.width(), " values a row, but these options make ", extractor.width());
  if (first_row < 0 || first_row + d.size() > store.rows())
    fail(Code::mismatch, "The store has ", store.rows(), " rows, but ", d.size(), " instances go to row ", first_row,
         " and after it");
  RowWriter writer(store, flag_file);
  BuildReport report;
  const auto started = std::chrono::steady_clock::now();
  int64_t done = 0;
  for (auto& members : pack(d, batch_tokens, [&](const BatchShape& shape) { return extractor.fits(shape); })) {
    control.progress(done, d.size(), "gradient features");
    done += static_cast<int64_t>(members.size());
    std::vector<int64_t> rows;
    for (const int64_t i : members) rows.push_back(first_row + i);
    if (std::all_of(rows.begin(), rows.end(), [&](int64_t row) { return writer.written(row); })) continue;
    const Batch batch = make_batch(d, std::move(members), model);
    const InstanceFeatures features = host_features(extractor, model, batch);
    writer.write(rows, features.values, features.losses);
    report.computed += batch.size();
    report.tokens += batch.token_total();
  }
  writer.sync();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  control.progress(d.size(), d.size(), "gradient features");
  return report;
}

InstanceFeatures instance_features(const Model& model, const Instances& d, const FeatureSettings& settings,
                                   int64_t batch_tokens, bool of_tokens, const Quantity& of, const Control& control) {
  check_instances(model, d, "instances");
  check_quantity(model, of, d);
  const FeatureExtractor extractor(model, settings);
  const int64_t rows = of_tokens ? static_cast<int64_t>(d.tokens.size()) : d.size();
  InstanceFeatures all{at::empty({rows, extractor.width()}, at::kFloat), at::empty({rows}, at::kFloat)};
  for_batches(
      model, d, batch_tokens, "gradient features", control,
      [&](const Batch& batch) {
        const InstanceFeatures features = host_features(extractor, model, batch, of_tokens, of);
        const at::Tensor places = of_tokens ? token_places(d, batch) : at::tensor(batch.instances, at::kLong);
        all.values.index_copy_(0, places, features.values);
        all.losses.index_copy_(0, places, features.losses);
      },
      [&](const BatchShape& shape) {
        return extractor.fits({of_tokens ? shape.rows * shape.longest : shape.instances, shape.rows, shape.longest});
      });
  return all;
}

std::vector<int64_t> feature_offsets(const Model& model, const FeatureSettings& settings) {
  return FeatureExtractor(model, settings).offsets();
}

}  // namespace attribution
