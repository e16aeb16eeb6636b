#include "instance/curvature/head_curvature.h"

#include <algorithm>
#include <limits>

#include "model/evaluate.h"
#include "model/linear.h"
#include "model/loss.h"
#include "model/transformer.h"

namespace attribution {
namespace {

constexpr int64_t chunk_values = int64_t{1} << 22;  // outputs [row, vector, class] held at a time

at::ScalarType wide_type(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

/// Sums of the rows of each group, given back to every row.
at::Tensor group_sums(const at::Tensor& values, const at::Tensor& group) {
  at::Tensor sums = at::zeros_like(values);  // as many groups as rows at most
  return sums.index_add_(0, group, values).index_select(0, group);
}

int64_t target_rows(const Model& model, const Instances& d) {
  if (!model.architecture.predicts_tokens()) return d.rows();
  return std::ranges::count_if(d.targets, [](int32_t target) { return target != no_target; });
}

}  // namespace

bool HeadCurvature::applies(const Model& model, const Instances& train, const ModuleSelection& modules,
                            const CurvatureOptions& o) {
  if (modules.size() != 1 || !modules.has_head() || model.architecture.transforms_logits()) return false;
  return target_rows(model, train) * model.architecture.embedding_size *
             static_cast<int64_t>(at::elementSize(wide_type(model.dtype))) <=
         o.memory_bytes / 2;
}

HeadCurvature::HeadCurvature(const Model& model, const Instances& train, const CurvatureOptions& o,
                             const Control& control)
    : choice_(model.architecture.head == HeadKind::choice) {
  const auto wide = wide_type(model.dtype);
  const Linear head = head_linear(model);
  matrix_ = head.matrix().to(wide).contiguous();
  if (head.bias.defined()) bias_ = head.bias.to(wide);
  if (model.architecture.predicts_tokens()) {
    read_targets(train, o.reduction);
  } else {
    read_labels(train);
  }
  owners_ = cached_.owners(at::kCPU);
  read_states(model, train, o.batch_tokens, control);
  for (at::Tensor* tensor : {&targets_, &weights_, &owners_}) *tensor = tensor->to(model.device);
}

void HeadCurvature::read_labels(const Instances& d) {
  cached_.offsets.assign(d.group_offsets.begin(), d.group_offsets.end());
  targets_ = at::zeros({d.rows()}, at::kLong);
  weights_ = at::zeros({d.rows()}, matrix_.options().device(at::kCPU));
  for (int64_t i = 0; i < d.size(); ++i) {
    if (d.labels[i] < 0) continue;
    weights_.narrow(0, d.group_offsets[i], cached_.count(i)).fill_(1);
    choice_ ? targets_[d.group_offsets[i] + d.labels[i]].fill_(1) : targets_[d.group_offsets[i]].fill_(d.labels[i]);
  }
}

void HeadCurvature::read_targets(const Instances& d, Reduction reduction) {
  std::vector<int64_t> targets;
  std::vector<double> weights;
  cached_.offsets = {0};
  for (int64_t i = 0; i < d.size(); ++i) {
    for (int64_t t = d.row_offsets[d.group_offsets[i]]; t < d.row_offsets[d.group_offsets[i + 1]]; ++t) {
      if (d.targets[t] != no_target) targets.push_back(d.targets[t]);
    }
    cached_.offsets.push_back(static_cast<int64_t>(targets.size()));
    weights.resize(targets.size(), reduction == Reduction::mean
                                       ? 1.0 / static_cast<double>(std::max<int64_t>(1, cached_.count(i)))
                                       : 1.0);
  }
  targets_ = at::tensor(targets, at::kLong);
  weights_ = at::tensor(weights, at::kDouble).to(matrix_.scalar_type());
}

void HeadCurvature::read_states(const Model& model, const Instances& d, int64_t batch_tokens, const Control& control) {
  const at::NoGradGuard no_grad;
  const bool language = model.architecture.predicts_tokens();
  states_ = at::empty({cached_.total(), matrix_.size(1)}, matrix_.options());
  for_batches(model, d, batch_tokens, "reading states", control, [&](const Batch& batch) {
    const at::Tensor hidden = forward(model, batch);
    const at::Tensor read = language ? hidden.index_select(0, batch.targets.ne(no_target).nonzero().squeeze(1))
                                     : read_rows(model.architecture, hidden, batch);
    const at::Tensor rows = cached_.rows_of(batch.instances, model.device);
    states_.index_copy_(0, rows, head_states(model, read).to(states_.scalar_type()));
  });
}

HeadCurvature::Rows HeadCurvature::rows_of(const std::vector<int64_t>& instances) const {
  Rows rows;
  rows.index = cached_.rows_of(instances, states_.device());
  rows.states = states_.index_select(0, rows.index);
  const at::Tensor scores = product(rows.states, matrix_, bias_);
  if (!choice_) {
    rows.probabilities = at::softmax(scores, 1);
    return rows;
  }
  // Softmax over the rows of an instance.
  std::vector<int64_t> group;
  for (size_t i = 0; i < instances.size(); ++i)
    group.insert(group.end(), static_cast<size_t>(cached_.count(instances[i])), static_cast<int64_t>(i));
  rows.group = at::tensor(group, at::kLong).to(states_.device());
  const at::Tensor flat = scores.squeeze(1);
  const at::Tensor largest = at::full_like(flat, -std::numeric_limits<double>::infinity())
                                 .scatter_reduce(0, rows.group, flat, "amax")
                                 .index_select(0, rows.group);
  const at::Tensor powers = (flat - largest).exp();
  rows.probabilities = (powers / group_sums(powers, rows.group)).unsqueeze(1);
  return rows;
}

at::Tensor HeadCurvature::outputs(const Rows& rows, const at::Tensor& vectors) const {
  const int64_t classes = matrix_.size(0), embedding = matrix_.size(1), count = vectors.size(0);
  const at::Tensor weights =
      vectors.narrow(1, 0, classes * embedding).to(matrix_.scalar_type()).reshape({count * classes, embedding});
  at::Tensor result = product(rows.states, weights).view({-1, count, classes});
  if (bias_.defined()) result = result + vectors.narrow(1, classes * embedding, classes).to(matrix_.scalar_type());
  return result;
}

at::Tensor HeadCurvature::products(const std::vector<int64_t>& instances, const at::Tensor& vectors) const {
  const at::NoGradGuard no_grad;
  const int64_t classes = matrix_.size(0), count = vectors.size(0);
  const Rows rows = rows_of(instances);
  const at::Tensor p = rows.probabilities.unsqueeze(1),
                   u = outputs(rows, vectors);  // [row, 1, class], [row, vector, class]
  const at::Tensor mean = choice_ ? group_sums(p * u, rows.group) : (p * u).sum(2, true);
  const at::Tensor r = p * (u - mean) * weights_.index_select(0, rows.index).view({-1, 1, 1});
  at::Tensor result = at::empty_like(vectors);
  result.narrow(1, 0, matrix_.numel()).copy_(at::mm(r.view({-1, count * classes}).t(), rows.states).view({count, -1}));
  if (bias_.defined()) result.narrow(1, matrix_.numel(), classes).copy_(r.sum(0));
  return result;
}

std::vector<std::vector<int64_t>> HeadCurvature::chunks(int64_t vectors) const {
  std::vector<std::vector<int64_t>> chunks;
  int64_t values = 0;
  for (int64_t i = 0; i < cached_.instances(); ++i) {
    values += cached_.count(i) * vectors * matrix_.size(0);
    if (chunks.empty() || values > chunk_values) {
      chunks.emplace_back();
      values = cached_.count(i) * vectors * matrix_.size(0);
    }
    chunks.back().push_back(i);
  }
  return chunks;
}

at::Tensor HeadCurvature::mean_products(const at::Tensor& vectors, const Control& control) const {
  at::Tensor sum = at::zeros_like(vectors);
  for (const auto& members : chunks(vectors.size(0))) {
    control.check();
    sum += products(members, vectors);
  }
  return sum / static_cast<double>(cached_.instances());
}

at::Tensor HeadCurvature::gradient_products(const at::Tensor& vectors, const Control& control) const {
  const at::NoGradGuard no_grad;
  at::Tensor result = at::zeros({cached_.instances(), vectors.size(0)}, matrix_.options());
  for (const auto& members : chunks(vectors.size(0))) {
    control.check();
    const Rows rows = rows_of(members);
    const at::Tensor target = targets_.index_select(0, rows.index).unsqueeze(1);
    const at::Tensor gold =
        choice_ ? target.to(matrix_.scalar_type()) : at::zeros_like(rows.probabilities).scatter_(1, target, 1);
    const at::Tensor gradients =
        (rows.probabilities - gold) * weights_.index_select(0, rows.index).unsqueeze(1);  // [row, class]
    result.index_add_(0, owners_.index_select(0, rows.index),
                      at::matmul(outputs(rows, vectors), gradients.unsqueeze(2)).squeeze(2));
  }
  return result.t();
}

}  // namespace attribution
