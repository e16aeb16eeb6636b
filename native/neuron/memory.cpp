#include "neuron/memory.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "model/prefix/prefix_cache.h"

namespace attribution {
namespace {

/// Changed rows per instance below which more instances in a batch are no gain.
constexpr int64_t worthwhile_variants = 8;

BatchShape shape_of(const Batch& batch) { return {batch.size(), batch.rows(), batch.longest}; }

/// Values of one token where a layer's neurons lie side by side, those of the experts it does not go to too.
int64_t all_experts(const Architecture& a) { return a.is_mixture() ? 3 * a.intermediate : 0; }

/// Values of one token that a block's operations keep for a backward: norms, projections, attention's scores, the MLP.
int64_t block_values(const Architecture& a, int64_t keys) {
  return (12 + 3 * a.mixture.chosen) * a.hidden + 4 * a.active_width() + all_experts(a) + 6 * a.query_width() +
         3 * a.heads * keys;
}

/// Values of one token at the widest moment of a block without gradients: in the attention or in the MLP.
int64_t widest_values(const Architecture& a, int64_t keys) {
  const int64_t scores = a.attention_cap > 0 ? 4 * a.heads * keys : 0;  // no fused attention takes a soft cap
  return std::max(3 * a.hidden + 12 * a.query_width() + scores,
                  (4 + 3 * a.mixture.chosen) * a.hidden + (a.gated ? 4 : 3) * a.active_width());
}

/// 1, 2, 3, 4, 6, 8, 12, 16, …: libtorch keeps compiled kernels for every shape it meets (some 0.2 MB each), so batches
/// of unequal length should meet the same ones.
int64_t few_shapes(int64_t count) {
  int64_t power = 1;
  while (2 * power <= count) power *= 2;
  return count >= power + power / 2 ? power + power / 2 : power;
}

std::string size_words(int64_t bytes) {
  if (bytes < 10 << 20) return std::to_string((bytes + 1023) >> 10) + " KB";
  return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MB";
}

}  // namespace

NeuronMemory neuron_memory(const Architecture& a, at::ScalarType dtype, const BatchShape& shape, Effort effort) {
  const auto element = static_cast<int64_t>(at::elementSize(dtype));
  const int64_t tokens = shape.rows * (shape.longest + a.layers), wide = std::max<int64_t>(element, sizeof(float));
  const int64_t classes = a.predicts_tokens() ? a.vocabulary : std::max<int64_t>(1, a.labels);
  NeuronMemory m;
  m.cache = cache_bytes(a, dtype, shape.rows, shape.longest);
  if (shape.rows != shape.instances)
    m.cache += cache_bytes(a, dtype, shape.instances, shape.longest);  // the target's rows alone
  m.cache += shape.instances * a.layers * (2 * a.intermediate + 2 * a.query_width() + 4 * a.hidden) * element +
             shape.rows * classes * wide;
  m.forward = tokens *
              (effort == Effort::forwards ? a.layers * block_values(a, a.attention_cap > 0 ? shape.longest : 1)
                                          : widest_values(a, shape.longest)) *
              element;
  // Without causality a changed row is a copy of all its tokens.
  m.variant = shape.instances * (a.causal ? 1 : shape.longest) *
              ((effort == Effort::rows ? 2 : a.layers) * block_values(a, shape.longest) * element + 4 * classes * wide);
  return m;
}

Fits fits_in(const Model& model, int64_t memory_bytes, Effort effort) {
  return [&model, memory_bytes, effort](const BatchShape& shape) {
    const NeuronMemory m = neuron_memory(model.architecture, model.dtype, shape, effort);
    return m.cache + std::max(m.forward, worthwhile_variants * m.variant) <= memory_bytes;
  };
}

int64_t variants_within(const Model& model, const Batch& batch, int64_t memory_bytes, Effort effort) {
  const BatchShape shape = shape_of(batch);
  const NeuronMemory m = neuron_memory(model.architecture, model.dtype, shape, effort);
  if (m.least() <= memory_bytes) return few_shapes((memory_bytes - m.cache) / std::max<int64_t>(1, m.variant));
  fail(Code::memory, "An instance of ", shape.rows, shape.rows == 1 ? " row" : " rows", " and up to ", shape.longest,
       " tokens takes about ", size_words(m.least()), " (prefix cache ", size_words(m.cache), ", forward ",
       size_words(m.forward), ", one changed row ", size_words(m.variant), "), but the budget is ",
       size_words(memory_bytes), ": raise \"memory\" or shorten the instance");
}

}  // namespace attribution
