#include "instance/influence/readout_lissa.h"

#include <algorithm>
#include <set>

namespace attribution {
namespace {

/// What does not change of a module: inputs a [row, input] and output gradients g [row, output] of the drawn rows, and
/// their products.
struct FixedModule {
  at::Tensor a, g;
  at::Tensor a_products, g_products;  // [row, row]; a's with the bias's 1
  bool bias;
};

/// The iterate's coefficients in a module, but for the common factor.
struct Coefficients {
  at::Tensor outputs;  // C [row, vector, output]
  at::Tensor inputs;   // E [row, vector, input]; undefined where the inputs are constant
};

class Iterate {
 public:
  Iterate(const ReadoutCurvature& curvature, const std::vector<int64_t>& drawn, const at::Tensor& vectors)
      : curvature_(curvature), vectors_(vectors) {
    const at::Tensor rows = curvature.cached().rows_of(drawn, vectors.device());
    for (const int64_t i : drawn) {
      first_row_.resize(static_cast<size_t>(i) + 1, -1);
      first_row_[static_cast<size_t>(i)] = rows_;
      rows_ += curvature.cached().count(i);
    }
    start_ = curvature.images_of(rows, vectors);
    for (size_t k = 0; k < curvature.factors().modules.size(); ++k) {
      const ModuleFactors& m = curvature.factors().modules[k];
      const at::Tensor a = m.inputs.index_select(0, rows), g = m.gradients.index_select(0, rows);
      modules_.push_back({a, g, at::mm(a, a.t()) + (m.bias ? 1 : 0), at::mm(g, g.t()), m.bias});
      coefficients_.push_back(
          {at::zeros({rows_, vectors.size(0), g.size(1)}, g.options()),
           curvature.is_constant(k) ? at::Tensor() : at::zeros({rows_, vectors.size(0), a.size(1)}, a.options())});
    }
  }

  /// h ← v + keep · h − step · H h over the instances.
  void recur(const std::vector<int64_t>& instances, double keep, double step) {
    const at::Tensor rows = local_rows(instances);
    const ReadoutCurvature::Images made = curvature_.tangents(instances, images(rows));
    start_factor_ = 1 + keep * start_factor_;
    factor_ *= keep;
    if (std::abs(factor_) < 1e-6) normalise();
    for (size_t k = 0; k < modules_.size(); ++k) {
      coefficients_[k].outputs.index_add_(0, rows, made.outputs[k].transpose(0, 1), -step / factor_);
      if (made.inputs[k].defined())
        coefficients_[k].inputs.index_add_(0, rows, made.inputs[k].transpose(0, 1), -step / factor_);
    }
  }

  bool is_finite() const { return std::isfinite(last_size_); }

  /// h itself, [vector, parameter].
  at::Tensor dense() const {
    std::vector<at::Tensor> parts;
    const int64_t count = vectors_.size(0);
    for (size_t k = 0; k < modules_.size(); ++k) {
      const FixedModule& m = modules_[k];
      const Coefficients& c = coefficients_[k];
      at::Tensor weight = at::matmul(c.outputs.permute({1, 2, 0}), m.a);
      if (c.inputs.defined()) weight += at::matmul(m.g.t(), c.inputs.transpose(0, 1));
      parts.push_back(weight.reshape({count, -1}));
      if (m.bias) parts.push_back(c.outputs.sum(0));
    }
    return at::cat(parts, 1).mul_(factor_).add_(vectors_, start_factor_);
  }

 private:
  at::Tensor local_rows(const std::vector<int64_t>& instances) const {
    std::vector<int64_t> rows;
    for (const int64_t i : instances) {
      for (int64_t r = 0; r < curvature_.cached().count(i); ++r) rows.push_back(first_row_[static_cast<size_t>(i)] + r);
    }
    return at::tensor(rows, at::kLong).to(vectors_.device());
  }

  /// What h and its transpose make of the rows.
  ReadoutCurvature::Images images(const at::Tensor& rows) {
    ReadoutCurvature::Images result;
    last_size_ = 0;
    for (size_t k = 0; k < modules_.size(); ++k) {
      const FixedModule& m = modules_[k];
      const Coefficients& c = coefficients_[k];
      const at::Tensor a = m.a.index_select(0, rows), g = m.g.index_select(0, rows);
      at::Tensor outputs = mixed(m.a_products.index_select(0, rows), c.outputs);
      if (c.inputs.defined()) outputs = outputs + crossed(c.inputs, a, m.g);
      result.outputs.push_back(outputs * factor_ + start_.outputs[k].index_select(1, rows) * start_factor_);
      last_size_ += result.outputs.back().abs().max().item<double>();
      result.inputs.emplace_back();
      if (!c.inputs.defined()) continue;
      const at::Tensor inputs = mixed(m.g_products.index_select(0, rows), c.inputs) + crossed(c.outputs, g, m.a);
      result.inputs.back() = inputs * factor_ + start_.inputs[k].index_select(1, rows) * start_factor_;
    }
    return result;
  }

  /// Σ_i (x_i · x_j) c_i: products [j, i] and coefficients [i, vector, n] → [vector, j, n].
  static at::Tensor mixed(const at::Tensor& products, const at::Tensor& coefficients) {
    return at::mm(products, coefficients.view({coefficients.size(0), -1}))
        .view({products.size(0), coefficients.size(1), -1})
        .transpose(0, 1);
  }

  /// Σ_i (c_i · y_j) x_i: coefficients [i, vector, n], y [j, n] and x [i, m] → [vector, j, m].
  static at::Tensor crossed(const at::Tensor& coefficients, const at::Tensor& y, const at::Tensor& x) {
    const int64_t rows = coefficients.size(0), count = coefficients.size(1);
    const at::Tensor products =
        at::mm(coefficients.view({rows * count, -1}), y.t()).view({rows, -1});  // [i, vector · j]
    return at::mm(products.t(), x).view({count, y.size(0), -1});
  }

  /// Brings the common factor back to 1, before it is too small to divide by.
  void normalise() {
    for (Coefficients& c : coefficients_) {
      c.outputs.mul_(factor_);
      if (c.inputs.defined()) c.inputs.mul_(factor_);
    }
    factor_ = 1;
  }

  const ReadoutCurvature& curvature_;
  const at::Tensor& vectors_;
  std::vector<int64_t> first_row_;  // [instance] among the drawn rows
  int64_t rows_ = 0;
  std::vector<FixedModule> modules_;
  std::vector<Coefficients> coefficients_;
  ReadoutCurvature::Images start_;        // of v
  double start_factor_ = 1, factor_ = 1;  // of v, and of all coefficients
  double last_size_ = 0;
};

std::vector<int64_t> drawn_instances(const std::vector<std::vector<int64_t>>& batches) {
  std::set<int64_t> drawn;
  for (const auto& batch : batches) drawn.insert(batch.begin(), batch.end());
  return {drawn.begin(), drawn.end()};
}

}  // namespace

bool spans_cheaply(const ReadoutCurvature& curvature, const std::vector<std::vector<int64_t>>& batches,
                   int64_t parameters) {
  int64_t width = 0;
  for (size_t k = 0; k < curvature.factors().modules.size(); ++k) {
    const ModuleFactors& m = curvature.factors().modules[k];
    width += m.gradients.size(1) + (curvature.is_constant(k) ? 0 : m.inputs.size(1));
  }
  const int64_t rows = curvature.cached().rows_of(drawn_instances(batches), at::kCPU).size(0);
  return rows * width <= parameters;  // coefficients and v's images, as against h and its product with H
}

Series readout_series(const ReadoutCurvature& curvature, const std::vector<std::vector<int64_t>>& batches,
                      const at::Tensor& vectors, const InfluenceOptions& o,
                      const std::function<void(int64_t)>& progress) {
  const at::NoGradGuard no_grad;
  Iterate h(curvature, drawn_instances(batches), vectors);
  at::Tensor before;
  for (size_t step = 0; step < batches.size(); ++step) {
    progress(static_cast<int64_t>(step));
    if (step + 1 == batches.size()) before = h.dense();
    h.recur(batches[step], 1 - o.lissa_damping, 1 / (o.scale * static_cast<double>(batches[step].size())));
    if (!h.is_finite()) fail_diverged(static_cast<int64_t>(step), o);
  }
  const at::Tensor after = h.dense();
  const double change = (after - before).norm().item<double>() / std::max(1e-300, after.norm().item<double>());
  if (!std::isfinite(change)) fail_diverged(static_cast<int64_t>(batches.size()) - 1, o);
  return {after, change};
}

}  // namespace attribution
