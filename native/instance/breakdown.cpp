#include "instance/breakdown.h"

#include <algorithm>
#include <map>

#include "core/error.h"
#include "instance/gradients/module_products.h"
#include "instance/gradients/token_factors.h"
#include "instance/influence/inverse_gradients.h"
#include "instance/influence/plan.h"
#include "model/evaluate.h"

namespace attribution {
namespace {

/// Σ g Vᵀ a by module [vector, module] or token [vector, token], of the one instance whose factors they are; double on
/// the CPU.
at::Tensor parts_of(const at::Tensor& vectors, const Factors& factors, bool by_module) {
  std::vector<at::Tensor> modules;
  at::Tensor total;
  int64_t place = 0;
  for (const ModuleFactors& m : factors.modules) {
    const at::Tensor own =
        vector_products(vectors.narrow(1, place, gradient_width(m)), {{m}, factors.instances}).to(at::kDouble);
    place += gradient_width(m);
    if (by_module)
      modules.push_back(own.sum(1));
    else
      total = total.defined() ? total + own : own;
  }
  return (by_module ? at::stack(modules, 1) : total).to(at::kCPU);
}

/// Where each pair's parts go in the result, and the pairs of each source and target.
class Placed {
 public:
  Placed(const BreakdownPairs& pairs, int64_t sources, int64_t targets, const std::function<int64_t(size_t)>& size)
      : pairs_(pairs) {
    if (pairs.sources.size() != pairs.targets.size() || pairs.sources.empty())
      fail(Code::invalid, "Expected as many sources as targets, at least one");
    offsets_ = {0};
    for (size_t i = 0; i < pairs.sources.size(); ++i) {
      if (pairs.sources[i] < 0 || pairs.sources[i] >= sources || pairs.targets[i] < 0 || pairs.targets[i] >= targets)
        fail(Code::invalid, "Pair ", i, " is of instances that are not there");
      offsets_.push_back(offsets_.back() + size(i));
    }
    result_ = at::empty({offsets_.back()}, at::kDouble);
  }

  /// Pairs of the chosen sources, by target.
  std::map<int64_t, std::vector<size_t>> by_target(const std::vector<int64_t>& chosen) const {
    std::map<int64_t, std::vector<size_t>> found;
    for (size_t i = 0; i < pairs_.sources.size(); ++i) {
      if (std::binary_search(chosen.begin(), chosen.end(), pairs_.sources[i])) found[pairs_.targets[i]].push_back(i);
    }
    return found;
  }
  /// Rows of the pairs' sources among the chosen ones.
  at::Tensor rows(const std::vector<size_t>& own, const std::vector<int64_t>& chosen) const {
    std::vector<int64_t> places;
    for (const size_t i : own)
      places.push_back(std::lower_bound(chosen.begin(), chosen.end(), pairs_.sources[i]) - chosen.begin());
    return at::tensor(places, at::kLong);
  }
  void put(size_t pair, const at::Tensor& parts) {
    result_.narrow(0, offsets_[pair], offsets_[pair + 1] - offsets_[pair]).copy_(parts);
  }
  const at::Tensor& result() const { return result_; }

 private:
  const BreakdownPairs& pairs_;
  std::vector<int64_t> offsets_;
  at::Tensor result_;
};

at::Tensor row_lengths(const at::Tensor& rows) { return at::linalg_vector_norm(rows, 2, {1}, false, at::kDouble); }

/// Parts over both norms; 0 where one is 0.
at::Tensor over_norms(const at::Tensor& parts, const at::Tensor& norms) {
  return at::where(norms.gt(0), parts / norms, at::zeros_like(parts));
}

/// What stays the same over the blocks of vectors that whole gradients are split with.
struct Splitting {
  const Model& model;
  const Instances& targets;
  const ModuleSelection& modules;
  Reduction reduction;
  Parts parts;
  bool cosine;
  int64_t pairs;
  const Control& control;
  int64_t done = 0;

  /// Puts the parts of all pairs whose sources these are: vectors [source, parameter], or one source's [token,
  /// parameter].
  void operator()(Placed& placed, const std::vector<int64_t>& sources, const at::Tensor& vectors) {
    const at::Tensor norms = cosine ? row_lengths(vectors).cpu() : at::Tensor();
    for (const auto& [target, own] : placed.by_target(sources)) {
      control.progress(done, pairs, "breaking down");
      done += static_cast<int64_t>(own.size());
      const Batch batch = make_batch(targets, {target}, model);
      const Factors factors = gradient_factors(model, batch, modules, reduction);
      if (parts == Parts::vector_tokens) {
        const at::Tensor split = parts_of(vectors, factors, false).squeeze(1);
        for (const size_t pair : own) placed.put(pair, split);
        continue;
      }
      const at::Tensor rows = placed.rows(own, sources);
      at::Tensor split = parts_of(vectors.index_select(0, rows.to(model.device)),
                                  parts == Parts::tokens ? token_factors(factors, model, batch, modules) : factors,
                                  parts == Parts::modules);
      if (cosine)
        split = over_norms(split, norms.index_select(0, rows).unsqueeze(1) *
                                      squared_norms(factors).to(at::kCPU, at::kDouble).clamp_min(0).sqrt());
      for (size_t k = 0; k < own.size(); ++k) placed.put(own[k], split[static_cast<int64_t>(k)]);
    }
  }
};

int64_t number_of_parts(const ModuleSelection& modules, const Instances& sources, const Instances& targets,
                        const BreakdownPairs& pairs, Parts parts, size_t pair) {
  if (parts == Parts::modules) return static_cast<int64_t>(modules.size());
  return parts == Parts::tokens ? targets.token_count(pairs.targets[pair]) : sources.token_count(pairs.sources[pair]);
}

}  // namespace

at::Tensor influence_parts(const Model& model, const Instances& train, const Instances& sources,
                           const Instances& targets, const BreakdownPairs& pairs, Parts parts,
                           const InfluenceOptions& o, bool cosine, const Control& control) {
  check_instances(model, train, "train");
  check_instances(model, sources, "sources");
  check_instances(model, targets, "targets");
  check_quantity(model, o.of, sources);
  if (cosine && (o.inverse != Inverse::identity || parts == Parts::vector_tokens))
    fail(Code::unsupported, "The cosine is of gradients, by module or by token of the target");
  const ModuleSelection modules(model.architecture, o.modules);
  Placed placed(pairs, sources.size(), targets.size(),
                [&](size_t i) { return number_of_parts(modules, sources, targets, pairs, parts, i); });
  Splitting split{model,  targets, modules, o.reduction, parts, cosine, static_cast<int64_t>(pairs.sources.size()),
                  control};
  const auto tokens = [&](const Factors& factors, const Batch& batch) {
    return token_factors(factors, model, batch, modules);
  };
  const Budget budget(model, modules, o);
  const InfluenceOptions fitting = within_budget(budget, model, modules, train, sources, o);
  budget.batch_tokens(targets, vector_copies(o.inverse) * budget.parameters());  // refuses a longer target
  for_inverse_gradients(
      {model, train, modules, fitting, control}, sources,
      [&](const InverseBlock& block) { split(placed, block.instances, block.vectors); },
      parts == Parts::vector_tokens ? SplitFactors(tokens) : SplitFactors());
  return placed.result();
}

at::Tensor optimizer_aware_parts(const Model& model, const Moments& moments, const Instances& train,
                                 const Instances& queries, const BreakdownPairs& pairs, Parts parts,
                                 const OptimizerAwareOptions& o, const Control& control) {
  check_instances(model, train, "train");
  check_instances(model, queries, "queries");
  if (parts == Parts::vector_tokens)
    fail(Code::unsupported, "Adam's step is no sum over the training instance's tokens");
  const ModuleSelection modules(model.architecture, o.modules);
  Placed placed(pairs, train.size(), queries.size(),
                [&](size_t i) { return number_of_parts(modules, train, queries, pairs, parts, i); });
  Splitting split{model,  queries, modules, o.reduction, parts, o.cosine, static_cast<int64_t>(pairs.sources.size()),
                  control};
  for_adam_steps(
      model, moments, train, o, control,
      [&](const std::vector<int64_t>& instances, const at::Tensor& steps) { split(placed, instances, steps); });
  return placed.result();
}

at::Tensor feature_parts(const Model& model, const Instances& targets, const at::Tensor& vectors,
                         const BreakdownPairs& pairs, Parts parts, const FeatureSettings& settings,
                         const Control& control) {
  check_instances(model, targets, "targets");
  const FeatureExtractor extractor(model, settings);
  if (vectors.size(1) != extractor.width())
    fail(Code::mismatch, "The vectors have ", vectors.size(1), " features, but these settings make ",
         extractor.width());
  Placed placed(pairs, vectors.size(0), targets.size(), [&](size_t i) -> int64_t {
    return parts == Parts::modules ? static_cast<int64_t>(extractor.modules().size())
                                   : targets.token_count(pairs.targets[i]);
  });
  std::vector<int64_t> all(static_cast<size_t>(vectors.size(0)));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  const at::NoGradGuard no_grad;
  int64_t done = 0;
  const auto total = static_cast<int64_t>(pairs.sources.size());
  for (const auto& [target, own] : placed.by_target(all)) {
    control.progress(done, total, "breaking down");
    done += static_cast<int64_t>(own.size());
    const Batch batch = make_batch(targets, {target}, model);
    const Factors factors = gradient_factors(model, batch, extractor.modules(), settings.reduction);
    const Factors split = extractor.projected(
        parts == Parts::tokens ? token_factors(factors, model, batch, extractor.modules()) : factors);
    for (const size_t pair : own) {  // one vector at a time: spread, it may be as wide as the gradient
      const at::Tensor spread =
          extractor.spread(vectors.narrow(0, pairs.sources[pair], 1).to(split.modules[0].gradients.options()));
      placed.put(pair, parts_of(spread, split, parts == Parts::modules)[0]);
    }
  }
  control.progress(total, total, "breaking down");
  return placed.result();
}

}  // namespace attribution
