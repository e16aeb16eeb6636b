#include "instance/features/feature_collectors.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "instance/gradients/module_products.h"
#include "model/linear.h"

namespace attribution {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t whole_values = int64_t{1} << 26;  // of whole gradients held at a time: 256 MB of floats

at::ScalarType wide_type(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

GradientCollector* collector_of(AutogradContext* context) {
  return reinterpret_cast<GradientCollector*>(context->saved_data["collector"].toInt());
}

struct TappedLinear : torch::autograd::Function<TappedLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor&, const Linear& linear,
                            GradientCollector* collector) {
    context->saved_data["collector"] = reinterpret_cast<int64_t>(collector);
    const at::Tensor matrix = linear.matrix();
    context->save_for_backward({matrix});
    return product(input, matrix, linear.bias);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const at::Tensor matrix = context->get_saved_variables()[0];
    collector_of(context)->take(gradients[0]);
    at::Tensor input;
    if (context->needs_input_grad(0)) input = product(gradients[0], matrix.t());
    return {input, {}, {}, {}};
  }
};

struct TappedOutput : torch::autograd::Function<TappedOutput> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& output, const at::Tensor&,
                            GradientCollector* collector) {
    context->saved_data["collector"] = reinterpret_cast<int64_t>(collector);
    return output;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    collector_of(context)->take(gradients[0]);
    return {gradients[0], {}, {}};
  }
};

/// Both factors of Σ_t r_t c_tᵀ, [instance, longest, feature], of tokens whose instances rise; zeros fill the shorter
/// ones up.
struct PaddedFactors {
  at::Tensor rows, columns;
};

PaddedFactors padded(const at::Tensor& rows, const at::Tensor& columns, const at::Tensor& instance, int64_t instances) {
  const at::Tensor counts = at::zeros({instances}, instance.options()).index_add(0, instance, at::ones_like(instance));
  const int64_t longest = counts.max().item<int64_t>();
  if (longest * instances == rows.size(0))
    return {rows.view({instances, longest, rows.size(1)}), columns.view({instances, longest, columns.size(1)})};
  const at::Tensor starts = counts.cumsum(0) - counts;
  const at::Tensor place =
      instance * longest + at::arange(rows.size(0), instance.options()) - starts.index_select(0, instance);
  auto filled = [&](const at::Tensor& x) {
    return at::zeros({instances * longest, x.size(1)}, x.options())
        .index_copy_(0, place, x)
        .view({instances, longest, x.size(1)});
  };
  return {filled(rows), filled(columns)};
}

class LinearCollector : public GradientCollector {
 public:
  LinearCollector(const ModuleProjection& projection, at::Tensor instance, at::Tensor result, const at::Tensor& inputs)
      : GradientCollector(projection, std::move(instance), std::move(result)),
        inputs_(projection.bias ? projection.input.with_one(inputs) : projection.input(inputs)) {}

  void take(const at::Tensor& gradients) override {
    const at::NoGradGuard no_grad;
    add_outer(projection_.output(gradients), inputs_);
  }

 private:
  at::Tensor inputs_;  // [token, input side]
};

class LookupCollector : public GradientCollector {
 public:
  LookupCollector(const ModuleProjection& projection, at::Tensor instance, at::Tensor result, const at::Tensor& rows)
      : GradientCollector(projection, std::move(instance), std::move(result)), rows_(rows) {}

  void take(const at::Tensor& gradients) override {
    const at::NoGradGuard no_grad;
    const at::Tensor columns = projection_.input(gradients);
    if (!projection_.output.is_whole()) {
      add_outer(projection_.output.of_units(rows_, columns.options()), columns);
    } else if (projection_.sparse.features > 0) {
      add_sparse(columns.to(result_.scalar_type()));
    } else {
      add_tables(columns.to(result_.scalar_type()));
    }
  }

 private:
  /// Each entry of the tokens' rows goes to its feature; no table is formed.
  void add_sparse(const at::Tensor& columns) const {
    const int64_t width = columns.size(1), features = projection_.sparse.features;
    const at::Tensor entry = (rows_ * width).unsqueeze(1) + at::arange(width, rows_.options());
    const at::Tensor feature =
        projection_.sparse.buckets.index_select(0, entry.flatten()) + (instance_ * features).repeat_interleave(width);
    const at::Tensor values =
        columns.flatten() * projection_.sparse.signs.index_select(0, entry.flatten()).to(columns.scalar_type());
    result_.add_(at::zeros({instances() * features}, columns.options())
                     .index_add_(0, feature, values)
                     .view({instances(), features}));
  }

  /// Σ_t e_t c_tᵀ of some instances at a time.
  void add_tables(const at::Tensor& columns) const {
    const int64_t rows = projection_.rows, width = columns.size(1),
                  block = std::max<int64_t>(1, whole_values / (rows * width));
    const at::Tensor place = instance_ * rows + rows_;  // rises with the instance
    const at::Tensor counts = at::bincount(instance_, {}, instances()).to(at::kCPU);
    int64_t token = 0;
    for (int64_t first = 0; first < instances(); first += block) {
      const int64_t n = std::min(block, instances() - first), tokens = counts.narrow(0, first, n).sum().item<int64_t>();
      const at::Tensor tables =
          at::zeros({n * rows, width}, columns.options())
              .index_add_(0, place.narrow(0, token, tokens) - first * rows, columns.narrow(0, token, tokens));
      projection_.add(result_.narrow(0, first, n), tables.view({n, rows * width}));
      token += tokens;
    }
  }

  at::Tensor rows_;  // [token]
};

class NormCollector : public GradientCollector {
 public:
  NormCollector(const ModuleProjection& projection, at::Tensor instance, at::Tensor result, bool bias,
                const at::Tensor& normalised)
      : GradientCollector(projection, std::move(instance), std::move(result)), normalised_(normalised), bias_(bias) {}

  void take(const at::Tensor& gradients) override {
    const at::NoGradGuard no_grad;
    projection_.add(result_, instance_sums(norm_parts(gradients.to(result_.scalar_type()), normalised_, bias_),
                                           instance_, instances()));
  }

 private:
  at::Tensor normalised_;
  bool bias_;
};

}  // namespace

void GradientCollector::add_outer(const at::Tensor& rows, const at::Tensor& columns) const {
  const auto high = wide_type(rows.scalar_type());
  const PaddedFactors factors = padded(rows.to(high), columns.to(high), instance_, instances());
  const int64_t block = std::max<int64_t>(1, whole_values / (rows.size(1) * columns.size(1)));
  for (int64_t first = 0; first < instances(); first += block) {
    const int64_t n = std::min(block, instances() - first);
    const at::Tensor outer =
        at::bmm(factors.rows.narrow(0, first, n).transpose(1, 2), factors.columns.narrow(0, first, n)).reshape({n, -1});
    projection_.add(result_.narrow(0, first, n), outer);
  }
}

std::unique_ptr<GradientCollector> linear_collector(const ModuleProjection& projection, at::Tensor instance,
                                                    at::Tensor result, const at::Tensor& inputs) {
  return std::make_unique<LinearCollector>(projection, std::move(instance), std::move(result), inputs);
}

std::unique_ptr<GradientCollector> lookup_collector(const ModuleProjection& projection, at::Tensor instance,
                                                    at::Tensor result, const at::Tensor& rows) {
  return std::make_unique<LookupCollector>(projection, std::move(instance), std::move(result), rows);
}

std::unique_ptr<GradientCollector> norm_collector(const ModuleProjection& projection, at::Tensor instance,
                                                  at::Tensor result, bool bias, const at::Tensor& normalised) {
  return std::make_unique<NormCollector>(projection, std::move(instance), std::move(result), bias, normalised);
}

at::Tensor tapped_linear(const at::Tensor& input, const at::Tensor& anchor, const Linear& linear,
                         GradientCollector& collector) {
  return TappedLinear::apply(input, anchor, linear, &collector);
}

at::Tensor tapped_output(const at::Tensor& output, const at::Tensor& anchor, GradientCollector& collector) {
  return TappedOutput::apply(output, anchor, &collector);
}

}  // namespace attribution
