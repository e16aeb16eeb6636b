// Models from stored tensors or from a seed, and back to a file.
#pragma once
#include <string>
#include <vector>

#include "core/control.h"
#include "model/weight_reader.h"

namespace attribution {

/// Refuses weights that are missing, not of the architecture's shape, or not finite. A head that no source fills is
/// drawn from `new_head_seed` where that is ≥ 0.
Model open_model(const Architecture& architecture, const std::vector<WeightSource>& sources, at::ScalarType dtype,
                 at::Device device, int64_t new_head_seed, double new_head_deviation, const Control& control);

/// Weights normal(0, deviation), biases 0, norms 1.
Model create_model(const Architecture& architecture, at::ScalarType dtype, at::Device device, int64_t seed,
                   double deviation, const Control& control);

/// A deep copy.
Model copy_model(const Model& model);

/// Writes `header` (with its length prefix) and the named weights, in that order.
void write_weights(const Model& model, const std::string& file, const std::vector<uint8_t>& header,
                   const std::vector<std::string>& names, at::ScalarType dtype, const Control& control);

/// The model with another number of token embeddings; new rows are the mean of the old.
Model resize_embedding(const Model& model, int64_t rows);

/// Refuses a model whose weights view a file that was changed since: see MappedFile.
void require_unchanged_files(const Model& model);

/// 64-bit fingerprint of the architecture and all weights, as 16 hexadecimal digits.
std::string fingerprint(const Model& model);
int64_t parameter_count(const Model& model);

/// "cuda" is refused in words where libtorch or the machine has none.
at::Device device_named(const std::string& name);

}  // namespace attribution
