#include "instance/gradient_features.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "instance/breakdown.h"
#include "model/linear.h"
#include "model/transformer.h"
#include "storage/error.h"

namespace attribution {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Receives a module's output gradients as the backward passes it.
struct Sink {
  virtual ~Sink() = default;
  virtual void take(const at::Tensor& gradients) = 0;
};

/// A frozen linear module that shows its output gradient to a sink. `anchor` makes the backward come here where no input needs it.
struct TappedLinear : torch::autograd::Function<TappedLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor&, const Linear& linear, Sink* sink) {
    context->saved_data["sink"] = reinterpret_cast<int64_t>(sink);
    const at::Tensor matrix = linear.matrix();
    context->save_for_backward({matrix});
    return product(input, matrix, linear.bias);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor matrix = context->get_saved_variables()[0];
    reinterpret_cast<Sink*>(context->saved_data["sink"].toInt())->take(gradients[0]);
    at::Tensor input;
    if (context->needs_input_grad(0)) input = product(gradients[0], matrix.t());
    return {input, {}, {}, {}};
  }
};

at::Tensor with_ones(const at::Tensor& x) { return at::cat({x, at::ones({x.size(0), 1}, x.options())}, 1); }

/// Both factors of Σ_t g_t a_tᵀ, [instance, longest, feature], of tokens whose instances rise; zeros fill the shorter ones up.
struct PaddedFactors {
  at::Tensor g, a;
};

PaddedFactors padded(const at::Tensor& g, const at::Tensor& a, const at::Tensor& instance, int64_t instances) {
  const at::Tensor counts = at::zeros({instances}, instance.options()).index_add(0, instance, at::ones_like(instance));
  const int64_t longest = counts.max().item<int64_t>();
  if (longest * instances == g.size(0)) return {g.view({instances, longest, g.size(1)}), a.view({instances, longest, a.size(1)})};
  const at::Tensor starts = counts.cumsum(0) - counts;
  const at::Tensor place = instance * longest + at::arange(g.size(0), instance.options()) - starts.index_select(0, instance);
  auto filled = [&](const at::Tensor& x) {
    return at::zeros({instances * longest, x.size(1)}, x.options()).index_copy_(0, place, x).view({instances, longest, x.size(1)});
  };
  return {filled(g), filled(a)};
}

constexpr int64_t most_dense = int64_t{1} << 29;    // entries of a module's dense projection: 2 GB of floats
constexpr int64_t whole_values = int64_t{1} << 26;  // of whole gradients held at a time: 256 MB of floats

/// The tokens that reach the head: readout rows, or a causal LM's targets.
at::Tensor module_instance(const Architecture& a, const Batch& batch, bool head) {
  if (!head) return batch.token_instance;
  if (a.head != HeadKind::causal_lm) return batch.token_instance.index_select(0, batch.readout);
  return batch.token_instance.index_select(0, batch.targets.ne(no_target).nonzero().squeeze(1));
}

}  // namespace

/// Takes a module's projected inputs in the forward and its output gradients in the backward, and leaves the features in `result`.
struct FeatureSink : Sink {
  const FeatureExtractor::Projection* projection = nullptr;
  at::Tensor inputs;    // [token, input side]
  at::Tensor instance;  // [token]
  int64_t instances = 0;
  at::Tensor result;  // [instance, feature], a view into the features

  void see(const at::Tensor& input) {
    const auto& [side, bias] = std::tie(projection->input, projection->bias);
    if (side.matrix.defined()) {  // P [x; 1] = P_x x + p: the appended 1 is a bias of the projection
      const int64_t width = input.size(1);
      inputs = bias ? product(input, side.matrix.narrow(1, 0, width).contiguous(), side.matrix.select(1, width).contiguous()) : product(input, side.matrix);
    } else {
      inputs = masked(bias ? with_ones(input) : input, side);
    }
  }

  void take(const at::Tensor& gradients) override {
    const at::NoGradGuard no_grad;
    const auto& side = projection->output;
    const at::Tensor g = side.matrix.defined() ? product(gradients, side.matrix) : masked(gradients, side);
    const auto high = g.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const PaddedFactors factors = padded(g.to(high), inputs.to(high), instance, instances);
    const bool whole = projection->dense.defined() || projection->sparse.features > 0;
    const int64_t block = whole ? std::max<int64_t>(1, whole_values / (g.size(1) * inputs.size(1))) : instances;
    for (int64_t first = 0; first < instances; first += block) {
      const int64_t n = std::min(block, instances - first);
      const at::Tensor outer = at::bmm(factors.g.narrow(0, first, n).transpose(1, 2), factors.a.narrow(0, first, n)).reshape({n, -1});
      put(result.narrow(0, first, n), outer);
    }
  }

 private:
  static at::Tensor masked(const at::Tensor& x, const FeatureExtractor::Side& side) {
    return side.places.defined() ? x.index_select(1, side.places) * side.scale : x;
  }

  void put(at::Tensor target, const at::Tensor& outer) const {
    if (projection->dense.defined()) {
      target.add_(product(outer, projection->dense.to(outer.scalar_type())));  // all modules share the features
    } else {
      target.copy_(projection->sparse.features > 0 ? projection->sparse.apply(outer) : outer);
    }
  }
};

FeatureExtractor::FeatureExtractor(const Model& model, const FeatureSettings& s) : modules_(model.architecture, s.modules), reduction_(s.reduction) {
  if (s.rank == 0 && s.projection > ProjectionKind::pca) fail(Code::invalid, "A projection of whole gradients needs a rank above 0");
  int64_t bases_read = 0;
  const bool together = s.projection == ProjectionKind::dense;
  for (size_t i = 0; i < modules_.size(); ++i) {
    projections_.push_back(projection_of(model, modules_.id(i), s, bases_read));
    const Projection& p = projections_.back();
    if (together && i > 0) continue;
    offsets_.push_back(width_);
    width_ += p.dense.defined() ? p.dense.size(0) : p.sparse.features > 0 ? p.sparse.features : p.input.width * p.output.width;
  }
  offsets_.push_back(width_);
}

FeatureExtractor::Projection FeatureExtractor::projection_of(const Model& model, ModuleId id, const FeatureSettings& s, int64_t& bases_read) const {
  Model view = model;
  const Linear linear = id.module == Module::head ? head_linear(model) : *linear_of(view, id);
  const std::string name = module_name(model.architecture, id);
  auto side = [&](int64_t width, const char* which) {
    Side made;
    const int64_t kept = s.projection == ProjectionKind::factored_sparse ? s.mask : s.rank;
    const bool short_enough = s.rank == 0 || kept >= width || s.projection == ProjectionKind::dense || s.projection == ProjectionKind::sparse;
    made.width = short_enough ? width : kept;
    if (short_enough) return made;
    if (s.projection == ProjectionKind::factored_sparse) {
      made.places = random_places(kept, width, s.seed, name + which).to(model.device);
      made.scale = std::sqrt(static_cast<double>(width) / static_cast<double>(kept));
    } else if (s.projection == ProjectionKind::pca) {
      if (!s.bases.defined() || bases_read + kept * width > s.bases.numel()) fail(Code::mismatch, "The principal directions do not fit the modules and the rank");
      made.matrix = s.bases.narrow(0, bases_read, kept * width).view({kept, width}).to(model.options());
      bases_read += kept * width;
    } else {
      made.matrix = projection_matrix(s.projection, kept, width, s.seed, name + which).to(model.options());
    }
    return made;
  };
  Projection p;
  p.bias = linear.bias.defined();
  const at::Tensor matrix = linear.matrix();
  p.input = side(matrix.size(1) + (p.bias ? 1 : 0), ".input");
  p.output = side(matrix.size(0), ".output");
  const int64_t width = p.input.width * p.output.width, features = s.rank * s.rank;
  if (s.projection == ProjectionKind::dense) {
    if (width > most_dense / features) fail(Code::memory, "A dense projection of ", name, " would take ", features, " × ", width, " values: it is for small models. Choose a smaller \"rank\" or \"sparse\"");
    p.dense = projection_matrix(s.projection, features, width, s.seed, name + ".dense").to(model.device);
  } else if (s.projection == ProjectionKind::sparse || s.projection == ProjectionKind::factored_sparse) {
    p.sparse = sparse_projection(features, width, s.seed, name + ".sparse");
    p.sparse.buckets = p.sparse.buckets.to(model.device);
    p.sparse.signs = p.sparse.signs.to(model.device);
  }
  return p;
}

InstanceFeatures FeatureExtractor::features(const Model& model, const Batch& batch, bool of_tokens) const {
  const auto high = model.dtype == at::kDouble ? at::kDouble : at::kFloat;
  const int64_t rows = of_tokens ? batch.token_total() : batch.size();
  at::Tensor result = at::zeros({rows, width_}, at::TensorOptions().dtype(high).device(model.device));
  std::vector<FeatureSink> sinks(modules_.size());
  const at::Tensor anchor = at::zeros({}, model.options()).requires_grad_(true);
  Hooks hooks;
  hooks.taps_head = modules_.has_head();
  hooks.linear = [&](ModuleId id, const Linear& linear, const at::Tensor& input) {
    const int64_t place = modules_.find(id);
    if (place < 0) return apply(linear, input);
    FeatureSink& sink = sinks[static_cast<size_t>(place)];
    {
      const at::NoGradGuard no_grad;
      sink.projection = &projections_[static_cast<size_t>(place)];
      sink.see(input.detach());
      const bool head = id.module == Module::head;
      sink.instance = of_tokens ? seen_tokens(model.architecture, batch, head) : module_instance(model.architecture, batch, head);
      sink.instances = rows;
      const auto segment = std::min<size_t>(static_cast<size_t>(place), offsets_.size() - 2);  // dense: one for all
      sink.result = result.narrow(1, offsets_[segment], offsets_[segment + 1] - offsets_[segment]);
    }
    return TappedLinear::apply(input, anchor, linear, &sink);
  };
  const at::AutoGradMode grad(true);
  const at::Tensor losses = instance_losses(model, forward(model, batch, hooks), batch, reduction_, hooks);
  torch::autograd::grad({losses.sum()}, {anchor}, {}, false, false, true);
  return {result, of_tokens ? losses.detach().index_select(0, batch.token_instance) : losses.detach()};
}

}  // namespace attribution
