// Scores of units at the readout position. Everything that needs changed models rides on the prefix cache; `full_path`
// is the plain procedure, for changes at other positions and as the reference that the fast path is compared with.
#pragma once
#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "core/control.h"
#include "model/hooks.h"
#include "model/prefix/prefix_cache.h"
#include "neuron/readout_target.h"

namespace attribution {

/// One row per method in neuron_scores.cpp.
enum class NeuronMethod {
  integrated_gradients,
  activation,
  gradient,
  gradient_times_activation,
  conductance,
  log_probability_increase,
  value_norm,
  ablation
};
/// The method of this name; refuses names that have none.
NeuronMethod neuron_method(const std::string& name);

/// Why the units of a classifier that reads the mean of all positions cannot be scored at one.
inline constexpr const char* mean_has_no_position =
    "This classifier reads the mean of all positions, so that there is no readout position: use a method that takes "
    "\"positions\", with \"all\"";

/// Where units are scored: the readout position, every position of the target's row, or chosen ones.
enum class Positions { readout, all, chosen };

struct NeuronOptions {
  NeuronMethod method = NeuronMethod::integrated_gradients;
  Site site = Site::neurons;
  std::vector<int64_t> layers;
  TargetOptions target;
  std::vector<double> nodes, weights;  // of the path integral; of conductance the input's path
  /// Integrated gradients: a path is bisected while its gap is above this share of F, or a unit may be wrong by more
  /// than this share of the layer's largest score; 0: never.
  double completeness = 0;
  at::Tensor baseline;                       // [layer, width] in the order of `layers`, or undefined for zero
  Positions positions = Positions::readout;  // others take the full path, the positions of a row changed together
  std::vector<int32_t> chosen_offsets,
      chosen;              // Positions::chosen: of each instance, indices within the target's row
  bool full_path = false;  // the plain procedure also where the cache applies
  int64_t batch_tokens = 4096;
  int64_t memory_bytes = int64_t{1} << 30;  // prefix cache, forward and changed rows of a batch together
};

struct NeuronScores {
  at::Tensor scores;            // [instance, layer, unit] float
  at::Tensor target_values;     // [instance] double
  at::Tensor target_labels;     // [instance] int
  at::Tensor completeness_gap;  // [instance, layer] double, integrated gradients only
  at::Tensor unit_errors;       // [instance, layer] double, where paths are bisected (BatchScores::error)
};

NeuronScores neuron_scores(const Model& model, const Instances& instances, const NeuronOptions& options,
                           const Control& control);

/// Feature attributions [.., width] as units [.., unit]: the features of a head are summed (or their norm taken, for
/// quantities that have no sum).
at::Tensor as_units(const Architecture& architecture, Site site, const at::Tensor& features, bool norm = false);

/// One batch's results. `most` is how many changed rows per instance fit at a time.
struct BatchScores {
  at::Tensor scores;      // [instance, layer, unit]
  at::Tensor gap = {};    // [instance, layer] of a path integral
  at::Tensor error = {};  // [instance, layer] what a unit may be wrong by, as a share of the layer's largest score
};
/// The starts of the chosen layers' paths, extra variants of the prompts' forward, for the completeness gap
/// (integrated_gradients.cpp).
std::vector<Entry> path_starts(const Model& model, int64_t rows, const NeuronOptions& options);
/// The path integral by one-token rows over the prefix cache.
BatchScores integrate_cached(const Model& model, const PrefixCache& cache, const ReadoutTarget& target,
                             const NeuronOptions& options, int64_t most, const Control& control);
/// Paths whose gap or whose units' error is larger than asked, or that have kinks, bisected until they are within the
/// bounds (path_bisection.cpp).
void complete_paths(const Model& model, const PrefixCache& cache, const ReadoutTarget& target,
                    const NeuronOptions& options, BatchScores& found, int64_t most, const Control& control);
/// Whether ∂F/∂w jumps along a layer's path: a ReLU or a router works above the site, in a block or in the head.
bool path_has_kinks(const Architecture& architecture, Site site, int64_t layer);
/// F minus F with one unit replaced, for every unit (ablation.cpp).
BatchScores ablate_units(const Model& model, const PrefixCache& cache, const ReadoutTarget& target,
                         const NeuronOptions& options, int64_t most, const Control& control);
/// log p with the unit's output added to the residual minus log p of the residual alone (log_probability_increase.cpp).
BatchScores log_probability_increases(const Model& model, const PrefixCache& cache, const ReadoutTarget& target,
                                      const NeuronOptions& options, int64_t most, const Control& control);
/// Size of what a unit writes (value_norm.cpp).
BatchScores value_norms(const Model& model, const PrefixCache& cache, const ReadoutTarget& target,
                        const NeuronOptions& options);
/// Gradient flow through each unit along the input's path (conductance.cpp).
BatchScores conductances(const Model& model, const Batch& batch, const ReadoutTarget& target,
                         const NeuronOptions& options, const Control& control);
/// (scored_positions.cpp) Packed indices of the positions whose units are scored, and the index of the instance each
/// belongs to.
struct ScoredPositions {
  at::Tensor positions, owner;  // [position]
};
ScoredPositions scored_positions(const Model& model, const Batch& batch, const ReadoutTarget& target,
                                 const NeuronOptions& options);
/// The same by one full forward and backward per layer and node (full_path.cpp).
BatchScores integrate_fully(const Model& model, const Batch& batch, const ReadoutTarget& target,
                            const NeuronOptions& options, const Control& control);

}  // namespace attribution
