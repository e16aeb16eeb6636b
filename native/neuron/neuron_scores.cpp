#include "neuron/neuron_scores.h"

#include <algorithm>
#include <iterator>

#include "core/error.h"
#include "model/evaluate.h"
#include "model/memory/tensor_pool.h"
#include "model/transformer.h"
#include "neuron/memory.h"

namespace attribution {
namespace {

/// Units of other positions, and the reference: whole forwards, each layer's above its units differentiated.
bool runs_fully(const NeuronOptions& o) { return o.positions != Positions::readout || o.full_path; }

void check_chosen(const Instances& d, const NeuronOptions& o) {
  const auto chosen = static_cast<int64_t>(o.chosen.size());
  if (static_cast<int64_t>(o.chosen_offsets.size()) != d.size() + 1 || o.chosen_offsets.front() != 0 ||
      o.chosen_offsets.back() != chosen) {
    fail(Code::invalid, "Expected \"positions\" to list positions for each of ", d.size(), " instances");
  }
  for (int64_t i = 0; i < d.size(); ++i) {
    if (o.chosen_offsets[i + 1] <= o.chosen_offsets[i])
      fail(Code::invalid, "Expected \"positions\" to name at least one for instance ", i);
    for (int32_t k = o.chosen_offsets[i]; k < o.chosen_offsets[i + 1]; ++k) {
      if (o.chosen[k] < 0 || o.chosen[k] >= d.row_length(d.group_offsets[i]))
        fail(Code::invalid, "Expected \"positions\" of instance ", i, " within its row but received ", o.chosen[k]);
    }
  }
}

/// A forward's states at the target rows, without changing anything: [instance, layer, width].
at::Tensor readout_values(const PrefixCache& cache, const at::Tensor& rows, const NeuronOptions& o) {
  std::vector<at::Tensor> values;
  for (const int64_t layer : o.layers)
    values.push_back(cache.layers[static_cast<size_t>(layer)].at(o.site).index_select(0, rows));
  return at::stack(values, 1);
}

BatchScores activations(const Model& model, const PrefixCache& cache, const ReadoutTarget& target,
                        const NeuronOptions& o) {
  return {as_units(model.architecture, o.site, readout_values(cache, target.rows, o), true)};
}

/// What one batch gives a method.
struct Work {
  const Model& model;
  const Batch& batch;
  const PrefixCache& cache;
  const ReadoutTarget& target;
  const NeuronOptions& options;
  int64_t most;
  const Control& control;
};

/// Gradients at the nodes of a path over the units: integrated gradients, and gradients at a single node.
BatchScores along_path(const Work& w) {
  if (runs_fully(w.options)) return integrate_fully(w.model, w.batch, w.target, w.options, w.control);
  BatchScores found = integrate_cached(w.model, w.cache, w.target, w.options, w.most, w.control);
  if (w.options.completeness > 0) complete_paths(w.model, w.cache, w.target, w.options, found, w.most, w.control);
  return found;
}

struct MethodRow {
  NeuronMethod method;
  const char* name;  // in types/native.ts
  Effort effort;     // of the prefix cache; full forwards where the call runs them
  bool readout_only;
  BatchScores (*scores)(const Work&);
};

constexpr MethodRow methods[] = {
    {NeuronMethod::integrated_gradients, "integratedGradients", Effort::gradients, false, along_path},
    {NeuronMethod::gradient, "gradient", Effort::gradients, false, along_path},
    {NeuronMethod::gradient_times_activation, "gradientTimesActivation", Effort::gradients, false, along_path},
    {NeuronMethod::activation, "activation", Effort::rows, true,
     [](const Work& w) { return activations(w.model, w.cache, w.target, w.options); }},
    {NeuronMethod::conductance, "conductance", Effort::forwards, false,
     [](const Work& w) { return conductances(w.model, w.batch, w.target, w.options, w.control); }},
    {NeuronMethod::log_probability_increase, "logProbabilityIncrease", Effort::rows, true,
     [](const Work& w) { return log_probability_increases(w.model, w.cache, w.target, w.options, w.most, w.control); }},
    {NeuronMethod::value_norm, "valueNorm", Effort::rows, true,
     [](const Work& w) { return value_norms(w.model, w.cache, w.target, w.options); }},
    {NeuronMethod::ablation, "ablation", Effort::rows, true,
     [](const Work& w) { return ablate_units(w.model, w.cache, w.target, w.options, w.most, w.control); }},
};

const MethodRow& row_of(NeuronMethod method) {
  return *std::find_if(std::begin(methods), std::end(methods), [&](const MethodRow& r) { return r.method == method; });
}

Effort effort_of(const NeuronOptions& o) {
  const MethodRow& row = row_of(o.method);
  return row.effort == Effort::gradients && runs_fully(o) ? Effort::forwards : row.effort;
}

void check(const Model& model, const Instances& d, const NeuronOptions& o) {
  const Architecture& a = model.architecture;
  check_instances(model, d, "instances");
  check_target(model, d, o.target);
  if (o.site == Site::pre_activation && a.gated)
    fail(Code::unsupported, "A gated MLP has no single pre-activation; use the neurons");
  if (o.layers.empty()) fail(Code::invalid, "Expected \"layers\" to name at least one layer");
  for (size_t i = 0; i < o.layers.size(); ++i) {
    if (o.layers[i] < 0 || o.layers[i] >= a.layers)
      fail(Code::invalid, "Expected \"layers\" within 0–", a.layers - 1, " but received ", o.layers[i]);
    if (i > 0 && o.layers[i] <= o.layers[i - 1])
      fail(Code::invalid, "Expected \"layers\" to be increasing and distinct");
  }
  if (o.method == NeuronMethod::conductance && o.nodes.size() < 2)
    fail(Code::invalid, "Conductance needs at least two nodes");
  if (o.nodes.empty() || o.nodes.size() != o.weights.size())
    fail(Code::invalid, "Expected as many path nodes as weights, and at least one");
  if (o.completeness < 0) fail(Code::invalid, "Expected the completeness gap to be at least 0");
  if (o.completeness > 0 &&
      (o.method != NeuronMethod::integrated_gradients || o.site == Site::pre_activation || runs_fully(o))) {
    fail(Code::unsupported, "Only integrated gradients over the prefix cache, of neurons or heads, bisect their paths");
  }
  if (o.positions == Positions::chosen) check_chosen(d, o);
  if (a.readout == Readout::mean && !a.predicts_tokens() && o.positions == Positions::readout)
    fail(Code::unsupported, mean_has_no_position);
  if (row_of(o.method).readout_only && o.positions != Positions::readout)
    fail(Code::unsupported, "This method scores units at the readout position only");
  const auto count = static_cast<int64_t>(o.layers.size());
  if (o.baseline.defined() && o.baseline.sizes() != at::IntArrayRef({count, site_width(a, o.site)}))
    fail(Code::mismatch, "Expected \"baseline\" to hold layers × ", site_width(a, o.site), " values");
}

}  // namespace

NeuronMethod neuron_method(const std::string& name) {
  for (const MethodRow& row : methods) {
    if (name == row.name) return row.method;
  }
  fail(Code::invalid, "\"", name, "\" is no method of neuron attribution");
}

at::Tensor as_units(const Architecture& a, Site site, const at::Tensor& features, bool norm) {
  if (site != Site::heads) return features;
  std::vector<int64_t> shape(features.sizes().begin(), features.sizes().end() - 1);
  shape.insert(shape.end(), {a.heads, a.head_size});
  const at::Tensor heads = features.reshape(shape);
  return norm ? heads.square().sum(-1).sqrt() : heads.sum(-1);
}

NeuronScores neuron_scores(const Model& model, const Instances& d, const NeuronOptions& o, const Control& control) {
  check(model, d, o);
  const auto layers = static_cast<int64_t>(o.layers.size());
  NeuronScores result;
  result.scores = at::empty({d.size(), layers, site_units(model.architecture, o.site)}, at::kFloat);
  result.target_values = at::empty({d.size()}, at::kDouble);
  result.target_labels = at::empty({d.size()}, at::kInt);
  const bool path = o.method == NeuronMethod::integrated_gradients;
  result.completeness_gap = at::empty({path ? d.size() : 0, layers}, at::kDouble);
  result.unit_errors = at::empty({o.completeness > 0 ? d.size() : 0, layers}, at::kDouble);
  const Effort effort = effort_of(o);
  const TensorPool pool(static_cast<size_t>(o.memory_bytes));
  for_batches(
      model, d, o.batch_tokens, "attributing neurons", control,
      [&](const Batch& batch) {
        const int64_t most = variants_within(model, batch, o.memory_bytes, effort);
        const PrefixCache cache = build_cache(
            model, batch, path && !runs_fully(o) ? path_starts(model, batch.rows(), o) : std::vector<Entry>());
        const ReadoutTarget target = [&] {
          const at::NoGradGuard no_grad;
          return readout_target(model, batch, head_logits(model, cache.read), o.target);
        }();
        const BatchScores scores = row_of(o.method).scores({model, batch, cache, target, o, most, control});
        const at::Tensor indices = at::tensor(batch.instances, at::kLong);
        result.scores.index_copy_(0, indices, scores.scores.to(at::kCPU, at::kFloat));
        result.target_values.index_copy_(0, indices, target.values.to(at::kCPU, at::kDouble));
        result.target_labels.index_copy_(0, indices, target.labels.to(at::kCPU, at::kInt));
        if (path) result.completeness_gap.index_copy_(0, indices, scores.gap.to(at::kCPU, at::kDouble));
        if (o.completeness > 0) result.unit_errors.index_copy_(0, indices, scores.error.to(at::kCPU, at::kDouble));
      },
      fits_in(model, o.memory_bytes, effort));
  return result;
}

}  // namespace attribution
