#include "neuron/patching.h"

#include <torch/csrc/autograd/autograd.h>

#include "core/error.h"
#include "model/attention.h"
#include "model/evaluate.h"
#include "model/finite.h"
#include "model/memory/tensor_pool.h"
#include "model/transformer.h"
#include "neuron/memory.h"
#include "neuron/neuron_scores.h"

namespace attribution {
namespace {

void check_baseline(const Architecture& a, const at::Tensor& baseline, Site site) {
  if (baseline.defined() && baseline.sizes() != at::IntArrayRef({a.layers, site_width(a, site)}))
    fail(Code::mismatch, "Expected \"baseline\" to hold layers × ", site_width(a, site), " values");
}

void check_counterfactual(const Model& model, const Instances& d, const PatchingOptions& o) {
  if (!o.counterfactual) {
    if (o.part != HeadPart::output) fail(Code::missing, "A head's query, key or value needs other prompts");
    return;
  }
  check_instances(model, *o.counterfactual, "counterfactual");
  if (o.counterfactual->size() != d.size())
    fail(Code::mismatch, "Expected a counterfactual for each of ", d.size(), " instances but received ",
         o.counterfactual->size());
  const auto& groups = o.counterfactual->group_offsets;
  const auto& rows = o.counterfactual->row_offsets;
  for (int64_t i = 0; i < d.size(); ++i) {
    const int64_t count = d.group_offsets[i + 1] - d.group_offsets[i];
    if (groups[i + 1] - groups[i] != count)
      fail(Code::mismatch, "Expected the counterfactual of instance ", i, " to have as many rows as it");
    for (int64_t r = 0; o.part != HeadPart::output && r < count; ++r) {
      const int64_t own = d.group_offsets[i] + r, other = groups[i] + r;
      const int64_t length = d.row_offsets[own + 1] - d.row_offsets[own];
      if (rows[other + 1] - rows[other] != length)
        fail(Code::mismatch, "Expected the counterfactual of instance ", i, " to have ", length,
             " tokens as it has, as queries and keys carry their position, but it has ", rows[other + 1] - rows[other]);
    }
  }
}

void check(const Model& model, const Instances& d, const PatchingOptions& o) {
  const Architecture& a = model.architecture;
  check_instances(model, d, "instances");
  check_target(model, d, o.target);
  check_baseline(a, o.neuron_baseline, Site::neurons);
  check_baseline(a, o.head_baseline, Site::heads);
  if (a.readout == Readout::mean && !a.predicts_tokens()) fail(Code::unsupported, mean_has_no_position);
  if (a.is_mixture() && o.rule.rule != BackwardRule::gradient)
    fail(Code::unsupported, "The rules of RelP and GIM say nothing of a router of experts: use the rule \"gradient\"");
  if (a.is_mixture() && o.drop_layers)
    fail(Code::unsupported, "Dropped layers are not supported in a mixture of experts: use gradDrop: false");
  if (o.drop_layers && a.layers < 2) fail(Code::unsupported, "Dropped layers need a model of at least two layers");
  check_counterfactual(model, d, o);
}

using Layers = std::vector<at::Tensor>;  // [layer] values [token, width]

/// What a forward sees of the units.
struct Seen {
  Layers neurons, heads;
  std::vector<QueryKeyValue> projections;
};

/// Taps that keep what a forward sees in `seen`.
RuleTaps taps_into(Seen& seen, const Model& model, const PatchingOptions& o) {
  const auto layers = static_cast<size_t>(model.architecture.layers);
  seen.neurons.resize(layers);
  seen.heads.resize(layers);
  RuleTaps taps;
  taps.site = [&seen](Site site, int64_t layer, const at::Tensor& x) {
    if (site == Site::neurons) seen.neurons[static_cast<size_t>(layer)] = x;
    if (site == Site::heads) seen.heads[static_cast<size_t>(layer)] = x;
    return x;
  };
  if (o.part != HeadPart::output) {
    seen.projections.resize(layers);
    taps.projections = [&seen](int64_t layer, const QueryKeyValue& qkv) {
      seen.projections[static_cast<size_t>(layer)] = {qkv.query.detach(), qkv.key.detach(), qkv.value.detach()};
    };
  }
  return taps;
}

/// A site's values at the target rows' readout, [instance, layer, width].
at::Tensor readout_of(const Layers& values, const Batch& batch, const at::Tensor& rows) {
  Layers taken;
  for (const at::Tensor& value : values) taken.push_back(value.index_select(0, batch.readout.index_select(0, rows)));
  return at::stack(taken, 1);
}

/// The heads' outputs where the part of every head at the readout is that of the other prompt: the softmax is made
/// again.
Layers heads_with_other_parts(const Model& model, const Batch& batch, const Batch& other, const Seen& own,
                              const Seen& others, HeadPart part) {
  const PositionTables tables = position_tables(model, batch);
  Layers result;
  for (size_t layer = 0; layer < own.projections.size(); ++layer) {
    QueryKeyValue qkv = own.projections[layer];
    const auto patch = [&](at::Tensor& x, const at::Tensor& from) {
      x = x.index_copy(0, batch.readout, from.index_select(0, other.readout));
    };
    if (part == HeadPart::query) patch(qkv.query, others.projections[layer].query);
    if (part == HeadPart::key) patch(qkv.key, others.projections[layer].key);
    if (part == HeadPart::value) patch(qkv.value, others.projections[layer].value);
    result.push_back(attend(model, static_cast<int64_t>(layer), qkv, batch, tables, Hooks{}));
  }
  return result;
}

/// What the units' values change by, w − w⁰: [instance, layer, width] of each site.
struct Changes {
  at::Tensor neurons, heads;
};

Changes changes_of(const Model& model, const Batch& batch, const at::Tensor& rows, const Seen& own,
                   const PatchingOptions& o) {
  const auto against = [&](const Layers& values, const at::Tensor& baseline) {
    const at::Tensor read = readout_of(values, batch, rows);
    return baseline.defined() ? read - baseline.to(model.options()).unsqueeze(0) : read;
  };
  if (!o.counterfactual) return {against(own.neurons, o.neuron_baseline), against(own.heads, o.head_baseline)};
  const Batch other = make_batch(*o.counterfactual, batch.instances, model);
  Seen others;
  const at::Tensor hidden = rule_forward(model, other, {}, taps_into(others, model, o));
  require_finite(other, hidden, other.token_instance);
  const at::Tensor neurons = readout_of(own.neurons, batch, rows) - readout_of(others.neurons, other, rows);
  const at::Tensor start =
      o.part == HeadPart::output
          ? readout_of(others.heads, other, rows)
          : readout_of(heads_with_other_parts(model, batch, other, own, others, o.part), batch, rows);
  return {neurons, readout_of(own.heads, batch, rows) - start};
}

/// (w − w⁰) ρ of all units asked for, [instance, layer, unit].
at::Tensor scores_of(const Model& model, const Batch& batch, const at::Tensor& rows, const Changes& changes,
                     const Seen& seen, const std::vector<at::Tensor>& slopes, const PatchingOptions& o) {
  const Architecture& a = model.architecture;
  const auto layers = static_cast<size_t>(a.layers);
  std::vector<at::Tensor> parts;
  const auto add = [&](Site site, const at::Tensor& change, const Layers& values, size_t first) {
    Layers own;
    for (size_t layer = 0; layer < layers; ++layer) {
      const at::Tensor& slope = slopes[first + layer];
      own.push_back(slope.defined() ? slope : at::zeros_like(values[layer]));
    }
    parts.push_back(as_units(a, site, change * readout_of(own, batch, rows)));
  };
  if (o.neurons) add(Site::neurons, changes.neurons, seen.neurons, 0);
  if (o.heads) add(Site::heads, changes.heads, seen.heads, layers);
  return at::cat(parts, -1);
}

struct Patched {
  at::Tensor scores;
  ReadoutTarget target;
};

Patched patch(const Model& model, const Batch& batch, const PatchingOptions& o, const Control& control) {
  const at::AutoGradMode grad(true);
  const int64_t layers = model.architecture.layers;
  Seen seen;
  RuleTaps taps = taps_into(seen, model, o);
  if (o.drop_layers) taps.gates = at::ones({layers}, model.options());
  const at::Tensor hidden = rule_forward(model, batch, o.rule, taps);
  ReadoutTarget target = [&] {
    const at::NoGradGuard no_grad;
    return readout_target(model, batch, head_logits(model, read_rows(model.architecture, hidden, batch)), o.target);
  }();
  const at::Tensor read = read_rows(model.architecture, hidden, batch).index_select(0, target.rows);
  const at::Tensor value = target.of(model, read.unsqueeze(1)).sum();
  std::vector<at::Tensor> inputs = seen.neurons;
  inputs.insert(inputs.end(), seen.heads.begin(), seen.heads.end());
  const Changes changes = [&] {
    const at::NoGradGuard no_grad;
    return changes_of(model, batch, target.rows, seen, o);
  }();
  const auto scores = [&](bool keep) {
    const auto slopes = torch::autograd::grad({value}, inputs, {}, keep, false, true);
    const at::NoGradGuard no_grad;
    return scores_of(model, batch, target.rows, changes, seen, slopes, o);
  };
  if (!o.drop_layers) return {scores(false), target};
  at::Tensor sum;
  for (int64_t layer = 0; layer < layers; ++layer) {
    control.check();
    taps.gates.fill_(1);
    taps.gates[layer].zero_();
    const at::Tensor without = scores(layer + 1 < layers).abs();
    sum = sum.defined() ? sum + without : without;
  }
  return {sum / static_cast<double>(layers - 1), target};  // a unit's own layer, dropped, gives it 0
}

}  // namespace

PatchingScores patching_scores(const Model& model, const Instances& d, const PatchingOptions& o,
                               const Control& control) {
  check(model, d, o);
  const Architecture& a = model.architecture;
  const int64_t units = (o.neurons ? site_units(a, Site::neurons) : 0) + (o.heads ? site_units(a, Site::heads) : 0);
  PatchingScores result;
  result.scores = at::empty({d.size(), a.layers, units}, at::kFloat);
  result.target_values = at::empty({d.size()}, at::kDouble);
  result.target_labels = at::empty({d.size()}, at::kInt);
  const TensorPool pool(static_cast<size_t>(o.memory_bytes));
  auto each = [&](const Batch& batch) {
    variants_within(model, batch, o.memory_bytes, Effort::forwards);  // refuses what cannot fit
    const auto [scores, target] = patch(model, batch, o, control);
    const at::Tensor indices = at::tensor(batch.instances, at::kLong);
    result.scores.index_copy_(0, indices, scores.to(at::kCPU, at::kFloat));
    result.target_values.index_copy_(0, indices, target.values.to(at::kCPU, at::kDouble));
    result.target_labels.index_copy_(0, indices, target.labels.to(at::kCPU, at::kInt));
  };
  for_batches(model, d, o.batch_tokens, "patching", control, each, fits_in(model, o.memory_bytes, Effort::forwards));
  return result;
}

}  // namespace attribution
