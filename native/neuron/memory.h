// What a batch takes beside the model, counted before it is run: so that a budget chooses the batches, and one that
// cannot hold a single changed row is refused in words.
#pragma once
#include <algorithm>

#include "model/batch.h"
#include "model/hooks.h"

namespace attribution {

/// What is kept of the changed models: states alone, states for a backward from where each row entered, or whole
/// forwards for one.
enum class Effort { rows, gradients, forwards };

/// Bytes.
struct NeuronMemory {
  int64_t cache = 0;    // the prefix cache and, per instance, paths and scores
  int64_t forward = 0;  // beside it: the forward that fills it (Effort::forwards: all that a differentiated one keeps)
  int64_t variant = 0;  // beside it: one changed row of every instance

  int64_t least() const { return cache + std::max(forward, variant); }
};

NeuronMemory neuron_memory(const Architecture& architecture, at::ScalarType dtype, const BatchShape& shape,
                           Effort effort);

/// Batches whose cache leaves room for some changed rows of each instance at a time.
Fits fits_in(const Model& model, int64_t memory_bytes, Effort effort);

/// Changed rows per instance that one run may take beside the batch's cache; code "memory" where not even one fits.
int64_t variants_within(const Model& model, const Batch& batch, int64_t memory_bytes, Effort effort);

}  // namespace attribution
