#include "instance/optimizer_aware.h"

#include <algorithm>

#include "instance/gradients/budget.h"
#include "instance/gradients/factors.h"
#include "model/evaluate.h"
#include "model/linear.h"

namespace attribution {
namespace {

/// The selected parameters as one vector, laid out as dense_gradients does.
at::Tensor parameter_vector(const Model& model, const ModuleSelection& modules) {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < modules.size(); ++i) {
    const Parameters& own = parameters_of(model, modules.id(i));
    parts.push_back(own.matrix().reshape({-1}));
    if (own.bias.defined()) parts.push_back(own.bias);
  }
  return at::cat(parts);
}

struct AdamStep {
  at::Tensor first, second;  // β₁m, β₂v + ε
  double beta1, beta2;

  /// Γ of each row [instance, parameter].
  at::Tensor operator()(const at::Tensor& gradients) const {
    const at::Tensor scale = gradients.square().mul_(1 - beta2).add_(second).sqrt_();
    return gradients.mul(1 - beta1).add_(first).div_(scale);
  }
};

at::Tensor lengths(const at::Tensor& rows) { return at::linalg_vector_norm(rows, 2, {1}, false, at::kDouble); }

at::Tensor gradients_of(const Model& model, const Instances& instances, const std::vector<int64_t>& members,
                        const ModuleSelection& modules, Reduction reduction) {
  return dense_gradients(gradient_factors(model, make_batch(instances, members, model), modules, reduction));
}

/// Batches of at most `rows` instances and of so many tokens.
std::vector<std::vector<int64_t>> small_batches(const Instances& instances, int64_t batch_tokens, int64_t rows) {
  std::vector<std::vector<int64_t>> batches;
  for (const auto& members : pack(instances, batch_tokens)) {
    for (auto first = members.begin(); first != members.end();) {
      const auto last = first + std::min<int64_t>(rows, members.end() - first);
      batches.emplace_back(first, last);
      first = last;
    }
  }
  return batches;
}

/// Vectors of the parameters that fit beside the two moments and a batch; at least `least`.
int64_t vectors_beside_moments(const Budget& budget, const FeatureOptions& o,
                               const std::vector<const Instances*>& sides, int64_t least) {
  int64_t batch = 0;
  for (const Instances* d : sides)
    batch = std::max(batch, longest_instance(*d) * budget.token_bytes(Backward::once, 0));
  const int64_t needed = (least + 2) * budget.parameters() + batch;
  if (needed > budget.room())
    refuse_budget(o.memory_bytes,
                  std::to_string(least + 2) + " vectors of the parameters and the gradients of the longest instance",
                  needed);
  return (budget.room() - batch) / budget.parameters() - 2;
}

AdamStep adam_step(const Moments& moments, const ModuleSelection& modules, const OptimizerAwareOptions& o) {
  return {parameter_vector(moments.first, modules).mul(o.beta1),
          parameter_vector(moments.second, modules).mul(o.beta2).add_(o.epsilon), o.beta1, o.beta2};
}

}  // namespace

at::Tensor optimizer_aware_similarity(const Model& model, const Moments& moments, const Instances& train,
                                      const Instances& queries, const OptimizerAwareOptions& o,
                                      const Control& control) {
  check_instances(model, train, "train");
  check_instances(model, queries, "queries");
  const ModuleSelection modules(model.architecture, o.modules);
  const AdamStep step = adam_step(moments, modules, o);
  // Vectors of the parameters' size: the moments, the queries' gradients (twice while they are put together), and four
  // of each training instance (its gradient twice while it is made, Γ and √).
  const Budget budget(model, modules, o);
  const int64_t vectors = vectors_beside_moments(budget, o, {&train, &queries}, 6);
  const int64_t together = std::min(queries.size(), std::max<int64_t>(1, vectors / 4));
  const int64_t held = (2 + 2 * together + 4) * budget.parameters();
  const int64_t batch_tokens = std::min(budget.batch_tokens(train, held), budget.batch_tokens(queries, held));
  const auto batches = small_batches(train, batch_tokens, std::max<int64_t>(1, (vectors - 2 * together) / 4));
  at::Tensor scores = at::empty({queries.size(), train.size()}, at::kFloat);
  int64_t done = 0;
  const int64_t total = (queries.size() + together - 1) / together * train.size();
  for (int64_t begin = 0; begin < queries.size(); begin += together) {
    std::vector<at::Tensor> rows;
    for (int64_t i = begin; i < std::min(queries.size(), begin + together); ++i)
      rows.push_back(gradients_of(model, queries, {i}, modules, o.reduction));
    const at::Tensor own = at::cat(rows), own_lengths = lengths(own);
    for (const auto& members : batches) {
      control.progress(done, total, "comparing with Adam's steps");
      done += static_cast<int64_t>(members.size());
      const at::Tensor steps = step(gradients_of(model, train, members, modules, o.reduction));
      at::Tensor values = product(own, steps).to(at::kDouble);
      if (o.cosine) {
        const at::Tensor norms = own_lengths.unsqueeze(1) * lengths(steps).unsqueeze(0);
        values = at::where(norms.gt(0), values / norms, at::zeros_like(values));
      }
      scores.narrow(0, begin, own.size(0))
          .index_copy_(1, at::tensor(members, at::kLong), values.to(at::kCPU, at::kFloat));
    }
  }
  control.progress(total, total, "comparing with Adam's steps");
  return scores;
}

void for_adam_steps(const Model& model, const Moments& moments, const Instances& train, const OptimizerAwareOptions& o,
                    const Control& control,
                    const std::function<void(const std::vector<int64_t>&, const at::Tensor&)>& each) {
  const ModuleSelection modules(model.architecture, o.modules);
  const AdamStep step = adam_step(moments, modules, o);
  const Budget budget(model, modules, o);
  const int64_t vectors = vectors_beside_moments(budget, o, {&train}, 4);
  const int64_t batch_tokens = budget.batch_tokens(train, 6 * budget.parameters());
  for (auto members : small_batches(train, batch_tokens, std::max<int64_t>(1, vectors / 4))) {
    control.check();
    std::sort(members.begin(), members.end());
    each(members, step(gradients_of(model, train, members, modules, o.reduction)));
  }
}

}  // namespace attribution
