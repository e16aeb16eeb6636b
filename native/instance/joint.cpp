#include "instance/joint.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "instance/gradients/module_products.h"
#include "instance/influence/inverse_gradients.h"
#include "instance/joint_collector.h"
#include "model/evaluate.h"

namespace attribution {
namespace {

constexpr int64_t most_parts = int64_t{32} << 20;  // parts that are held at a time: 128 MB of floats

std::vector<int64_t> counted(int64_t size) {
  std::vector<int64_t> all(static_cast<size_t>(size));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

at::Tensor inverse_lengths(const at::Tensor& lengths) {
  return at::where(lengths.gt(0), lengths.reciprocal(), at::zeros_like(lengths));
}

at::Tensor inverse_lengths(const Factors& factors) {
  return inverse_lengths(squared_norms(factors).to(at::kDouble).clamp_min(0).sqrt());
}

/// What splits a group's scores: given the sources and the factors of its targets.
using Split = std::function<UnitParts(const std::vector<int64_t>& sources, const Factors& factors)>;
using TargetScales = std::function<at::Tensor(const std::vector<int64_t>& members, const Factors& factors)>;

/// Reads the targets in batches; splits the pairs of the given sources.
struct Reading {
  const Model& model;
  const Instances& targets;
  const ModuleSelection& modules;
  Reduction reduction;
  int64_t batch_tokens, units;
  const Control& control;
  int64_t done = 0;

  template <typename Use>
  void batches(int64_t sources, const Use& use) {
    const auto fits = [&](const BatchShape& b) {
      return b.instances == 1 || b.instances <= most_parts / std::max<int64_t>(1, sources * units);
    };
    for (auto& members : pack(targets, batch_tokens, fits)) {
      control.check();
      use(members, [&](const std::vector<int64_t>& chosen) {
        return gradient_factors(model, make_batch(targets, chosen, model), modules, reduction);
      });
    }
  }

  void pairs(JointCollector& collector, const std::vector<int64_t>& sources, const TargetScales& scales,
             const Split& split) {
    batches(static_cast<int64_t>(sources.size()), [&](const std::vector<int64_t>& members, const auto& factors_of) {
      std::vector<int64_t> read;  // without the targets that have no pair with these sources
      for (const auto& [own, places] : collector.groups(members, sources)) {
        for (const int64_t at : places) read.push_back(members[static_cast<size_t>(at)]);
      }
      if (read.empty()) return;
      std::sort(read.begin(), read.end());
      Factors factors = factors_of(read);
      if (scales) factors = scaled_factors(factors, scales(read, factors));
      for (const auto& [own, places] : collector.groups(read, sources)) {
        std::vector<int64_t> chosen;
        for (const int64_t at : places) chosen.push_back(read[static_cast<size_t>(at)]);
        collector.add(own, chosen, split(own, chosen == read ? factors : chosen_factors(factors, places)));
        done += static_cast<int64_t>(own.size() * chosen.size());
        control.progress(done, collector.pairs(), "splitting by unit");
      }
    });
  }
};

/// Rows of the block's vectors.
at::Tensor rows_of(const at::Tensor& vectors, const std::vector<int64_t>& block, const std::vector<int64_t>& own) {
  if (own == block) return vectors;
  std::vector<int64_t> rows;
  for (const int64_t s : own) rows.push_back(std::lower_bound(block.begin(), block.end(), s) - block.begin());
  if (rows.size() == 1) return vectors.narrow(0, rows[0], 1);
  return vectors.index_select(0, at::tensor(rows, at::kLong).to(vectors.device()));
}

void scale_sources(UnitParts& parts, const at::Tensor& scales) {
  parts.units.mul_(scales.to(parts.units.options()).view({-1, 1, 1}));
  parts.rest.mul_(scales.to(parts.rest.options()).view({-1, 1}));
}

/// The sum of all targets' gradients, dense [1, parameter] in float (double for float64).
at::Tensor total_gradient(Reading& reading, bool cosine) {
  at::Tensor total;
  reading.batches(0, [&](const std::vector<int64_t>& members, const auto& factors_of) {
    const Factors factors = factors_of(members);
    reading.done += static_cast<int64_t>(members.size());
    reading.control.progress(reading.done, reading.targets.size(), "summing gradients");
    const Factors own = cosine ? scaled_factors(factors, inverse_lengths(factors)) : factors;
    const at::Tensor sum = dense_gradients(summed_factors(own));
    const at::Tensor wide = sum.scalar_type() == at::kDouble ? sum : sum.to(at::kFloat);
    total = total.defined() ? total.add_(wide) : wide;
  });
  return total;
}

}  // namespace

namespace {

/// Each module's part of vectors of the parameters.
template <typename Use>
void each_module(const Model& model, const ModuleSelection& modules, const at::Tensor& vectors, const Use& use) {
  int64_t first = 0;
  for (size_t i = 0; i < modules.size(); ++i) {
    const Parameters& p = parameters_of(model, modules.id(i));
    const int64_t width = p.weight.numel() + (p.bias.defined() ? p.bias.numel() : 0);
    use(i, p, first, vectors.narrow(1, first, width));
    first += width;
  }
}

at::TensorOptions part_type(const Model& model) {
  return model.options().dtype(model.dtype == at::kDouble ? at::kDouble : at::kFloat);
}

/// Splits the scores of blocks of vectors of the parameters.
struct ExactSplit {
  Reading& reading;
  const UnitLayout& layout;
  const std::vector<UnitModule> units = unit_modules(reading.model.architecture, reading.modules, layout);

  UnitParts pairs(const at::Tensor& vectors, const Factors& factors) const {
    UnitParts parts = zero_parts(vectors.size(0), factors.instances, layout, part_type(reading.model));
    each_module(reading.model, reading.modules, vectors, [&](size_t i, const Linear&, int64_t, const at::Tensor& own) {
      add_parts(parts, reading.model.architecture, units[i], own, factors.modules[i], factors.instances);
    });
    return parts;
  }

  UnitParts sums(const at::Tensor& vectors, const at::Tensor& total) const {
    UnitParts parts = zero_parts(vectors.size(0), 1, layout, part_type(reading.model));
    each_module(reading.model, reading.modules, vectors,
                [&](size_t i, const Linear& p, int64_t first, const at::Tensor& own) {
                  const at::Tensor matrix = p.weight.dim() == 2 ? p.matrix() : p.weight.unsqueeze(1);
                  add_dense_parts(parts, reading.model.architecture, units[i], own, total.narrow(1, first, own.size(1)),
                                  matrix.size(0), matrix.size(1));
                });
    return parts;
  }
};

}  // namespace

Joint influence_units(const Model& model, const Instances& train, const Instances& sources, const Instances& targets,
                      const JointRequest& request, const InfluenceOptions& o, bool cosine, const Control& control) {
  check_instances(model, train, "train");
  check_instances(model, sources, "sources");
  check_instances(model, targets, "targets");
  check_quantity(model, o.of, sources);
  if (cosine && o.inverse != Inverse::identity) fail(Code::unsupported, "The cosine is of gradients");
  const ModuleSelection modules(model.architecture, o.modules);
  const UnitLayout layout = unit_layout(model.architecture, modules);
  JointCollector collector(request, sources.size(), targets.size(), layout.total());
  Reading reading{model, targets, modules, o.reduction, o.batch_tokens, layout.total(), control};
  const ExactSplit split{reading, layout};
  const at::Tensor total = request.sums_only ? total_gradient(reading, cosine) : at::Tensor();
  const TargetScales scales =
      cosine ? TargetScales([](const std::vector<int64_t>&, const Factors& f) { return inverse_lengths(f); })
             : TargetScales();
  for_inverse_gradients({model, train, modules, o, control}, sources, [&](const InverseBlock& block) {
    const at::Tensor lengths =
        cosine ? inverse_lengths(at::linalg_vector_norm(block.vectors, 2, {1}, false, at::kDouble)) : at::Tensor();
    const auto scaled = [&](UnitParts parts, const std::vector<int64_t>& own) {
      if (cosine) scale_sources(parts, rows_of(lengths, block.instances, own));
      return parts;
    };
    if (request.sums_only)
      return collector.add_sums(block.instances, scaled(split.sums(block.vectors, total), block.instances));
    reading.pairs(collector, block.instances, scales, [&](const std::vector<int64_t>& own, const Factors& factors) {
      return scaled(split.pairs(rows_of(block.vectors, block.instances, own), factors), own);
    });
  });
  return collector.joint();
}

namespace {

/// Splits the scores of vectors in the features' space.
struct FeatureSplit {
  const Model& model;
  const FeatureExtractor& extractor;
  const at::Tensor& vectors;
  const UnitLayout& layout;
  const std::vector<UnitModule> units = unit_modules(model.architecture, extractor.modules(), layout);

  UnitParts operator()(const std::vector<int64_t>& sources, const Factors& factors) const {
    const Factors projected = extractor.projected(factors);
    UnitParts parts = zero_parts(static_cast<int64_t>(sources.size()), factors.instances, layout, part_type(model));
    for (size_t s = 0; s < sources.size(); ++s) {  // one at a time: spread, a vector may be as wide as the gradient
      const at::Tensor spread = extractor.spread(vectors.narrow(0, sources[s], 1).to(part_type(model)));
      const auto row = static_cast<int64_t>(s);
      UnitParts own{parts.units.narrow(0, row, 1), parts.rest.narrow(0, row, 1)};
      int64_t first = 0;
      for (size_t i = 0; i < units.size(); ++i) {
        const int64_t width = gradient_width(projected.modules[i]);
        add_projected_parts(own, model.architecture, units[i], extractor.projection(i), spread.narrow(1, first, width),
                            factors.modules[i], projected.modules[i], factors.instances);
        first += width;
      }
    }
    return parts;
  }
};

}  // namespace

Joint feature_units(const Model& model, const Instances& targets, const at::Tensor& vectors,
                    const JointRequest& request, const FeatureScales& scales, const FeatureSettings& settings,
                    int64_t batch_tokens, const Control& control) {
  check_instances(model, targets, "targets");
  const FeatureExtractor extractor(model, settings);
  if (vectors.size(1) != extractor.width())
    fail(Code::mismatch, "The vectors have ", vectors.size(1), " features, but these settings make ",
         extractor.width());
  const UnitLayout layout = unit_layout(model.architecture, extractor.modules());
  JointCollector collector(request, vectors.size(0), targets.size(), layout.total());
  Reading reading{model, targets, extractor.modules(), settings.reduction, batch_tokens, layout.total(), control};
  const FeatureSplit parts{model, extractor, vectors, layout};
  const at::NoGradGuard no_grad;
  const auto all = counted(vectors.size(0));
  const auto split = [&](const std::vector<int64_t>& own, const Factors& factors) {
    UnitParts made = parts(own, factors);
    if (scales.sources.defined()) scale_sources(made, rows_of(scales.sources, all, own));
    return made;
  };
  TargetScales target_scales;
  if (scales.targets.defined())
    target_scales = [&](const std::vector<int64_t>& members, const Factors&) {
      return scales.targets.index_select(0, at::tensor(members, at::kLong));
    };
  if (!request.sums_only) {
    reading.pairs(collector, all, target_scales, split);
    return collector.joint();
  }
  reading.batches(0, [&](const std::vector<int64_t>& members, const auto& factors_of) {
    Factors factors = factors_of(members);
    if (target_scales) factors = scaled_factors(factors, target_scales(members, factors));
    collector.add_sums(all, split(all, summed_factors(factors)));
    reading.done += static_cast<int64_t>(members.size());
    control.progress(reading.done, targets.size(), "splitting by unit");
  });
  return collector.joint();
}

}  // namespace attribution
