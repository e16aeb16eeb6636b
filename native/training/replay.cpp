#include "training/replay.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "model/checkpoint.h"
#include "model/evaluate.h"
#include "model/loss.h"
#include "model/transformer.h"

namespace attribution {
namespace {

constexpr int64_t adjoint_vectors = 3, state_vectors = 3, traced_vectors = 4;
constexpr int64_t working_vectors = 8;  // of the run and of one step backwards

/// A step that was made: the state before it, and its gradient before clipping.
struct TracedStep {
  TrainingState before;
  at::Tensor gradient;
};

/// Vectors of the parameters with which so many steps can be taken backwards: all traced, or halved again and again.
int64_t least_room(int64_t steps) {
  int64_t halvings = 0;
  while ((int64_t{1} << halvings) < steps) ++halvings;
  return std::min(traced_vectors * steps, state_vectors * (halvings + 1) + traced_vectors);
}

/// Goes through a run and back, with as few states at a time as the room holds.
class Reversal {
 public:
  Reversal(TrainingRun& run, const Control& control) : run_(run), control_(control) {}

  /// Makes the steps from the run's state to `end`, calls `at_end`, and takes them backwards. `room` counts vectors of
  /// the parameters.
  void through(int64_t end, int64_t room, const std::function<void()>& at_end,
               const std::function<void(const TracedStep&)>& backwards) {
    const int64_t length = end - run_.step();
    if (traced_vectors * length <= room) {
      std::vector<TracedStep> trace;
      while (run_.step() < end) {
        trace.push_back({run_.snapshot(), {}});
        make(&trace.back().gradient);
      }
      at_end();
      for (; !trace.empty(); trace.pop_back()) backwards(trace.back());
      return;
    }
    const int64_t parts = parts_of(length, room), each = (length + parts - 1) / parts;
    std::vector<TrainingState> starts;
    while (run_.step() < end) {
      if (run_.step() == end - length + static_cast<int64_t>(starts.size()) * each) starts.push_back(run_.snapshot());
      make(nullptr);
    }
    at_end();
    for (; !starts.empty(); starts.pop_back()) {
      run_.restore(starts.back());
      const int64_t last = std::min(end, starts.back().step + each);
      through(
          last, room - state_vectors * static_cast<int64_t>(starts.size()), [] {}, backwards);
    }
  }

  int64_t steps_made() const { return steps_made_; }
  const std::vector<double>& losses() const { return losses_; }

 private:
  /// The fewest parts whose steps can each be traced beside the other parts' starts; else as many as leave the least
  /// room for a part, which is parted again.
  static int64_t parts_of(int64_t length, int64_t room) {
    int64_t most = 2;
    for (int64_t parts = 2; parts <= length && state_vectors * parts <= room; ++parts) {
      const int64_t each = (length + parts - 1) / parts, left = room - state_vectors * (parts - 1);
      if (traced_vectors * each <= left) return parts;
      if (least_room(each) <= left) most = parts;
    }
    return most;
  }

  void make(at::Tensor* gradient) {
    control_.progress(run_.step(), static_cast<int64_t>(run_.plan().size()), "training");
    const double loss = run_.advance(control_, gradient);
    if (static_cast<int64_t>(losses_.size()) < run_.step()) losses_.push_back(loss);
    ++steps_made_;
  }

  TrainingRun& run_;
  const Control& control_;
  std::vector<double> losses_;
  int64_t steps_made_ = 0;
};

/// One query's derivatives by the state.
using Adjoints = std::vector<Adjoint>;

Adjoint adjoint_of(const at::Tensor& by_weights, const TrainingState& state) {
  return {by_weights, at::zeros_like(state.first),
          state.second.defined() ? at::zeros_like(state.second) : at::Tensor()};
}

/// Losses of the instances with the run's dropout, in a graph that can be differentiated twice.
at::Tensor graph_losses(const TrainingRun& run, const Batch& batch) {
  Hooks hooks = run.hooks();
  hooks.twice_differentiable = true;
  return instance_losses(run.model(), forward(run.model(), batch, hooks), batch, Reduction::mean, hooks);
}

void require_finite(const at::Tensor& by_gradient, const TracedStep& step, const TrainingOptions& o) {
  if (at::isfinite(by_gradient).all().item<bool>()) return;
  if (o.optimizer == Optimizer::adamw && o.epsilon_root == 0)
    fail(Code::unsupported, "AdamW's root has no derivative where a weight's second moment is 0 (step ",
         step.before.step, "): train with \"epsilonRoot\" above 0, e.g. 1e-8");
  fail(Code::native, "The derivative of step ", step.before.step, " is not finite: the run is not smooth there");
}

std::vector<at::Tensor> in_parts(const at::Tensor& vector, const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> parts;
  int64_t first = 0;
  for (const at::Tensor& p : parameters) {
    parts.push_back(vector.narrow(0, first, p.numel()).view(p.sizes()));
    first += p.numel();
  }
  return parts;
}

/// The gradients of a batch's summed loss that depend on the weights, and their place among the parameters.
struct GradientGraph {
  std::vector<at::Tensor> gradients;
  std::vector<size_t> places;
};

GradientGraph gradient_graph(const at::Tensor& loss, const std::vector<at::Tensor>& parameters) {
  const auto all = torch::autograd::grad({loss}, parameters, {}, true, true, true);
  GradientGraph graph;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!all[i].defined() || !all[i].requires_grad()) continue;
    graph.gradients.push_back(all[i]);
    graph.places.push_back(i);
  }
  return graph;
}

/// Takes one step backwards for every query.
void step_back(TrainingRun& run, const TracedStep& traced, Adjoints& adjoints, at::Tensor scores) {
  const TrainingStep& step = run.plan()[static_cast<size_t>(traced.before.step)];
  const TrainingOptions& o = run.options();
  run.restore(traced.before);
  std::vector<std::vector<at::Tensor>> directions;
  {
    const at::NoGradGuard no_grad;
    const at::Tensor gradient = clipped(traced.gradient, o.clip);
    for (Adjoint& adjoint : adjoints) {
      const at::Tensor by_clipped = step_backwards(adjoint, traced.before, gradient, step.rate, o);
      const at::Tensor direction = clip_backwards(by_clipped, traced.gradient, o.clip);
      require_finite(direction, traced, o);
      directions.push_back(in_parts(direction, run.parameters()));
    }
  }
  for (const auto& members : step.batches) {
    const at::AutoGradMode grad(true);
    const at::Tensor losses = graph_losses(run, make_batch(run.train(), members, run.model()));
    const at::Tensor own = run.weights_of(members);
    const at::Tensor weights =
        (own.defined() ? own.to(losses.options()) : at::ones_like(losses)).detach().requires_grad_(true);
    const GradientGraph graph = gradient_graph((losses * weights).sum() / step.count(), run.parameters());
    std::vector<at::Tensor> inputs = run.parameters();
    inputs.push_back(weights);
    for (size_t q = 0; q < adjoints.size(); ++q) {
      std::vector<at::Tensor> along;
      for (const size_t place : graph.places) along.push_back(directions[q][place].to(graph.gradients[0].options()));
      auto parts = torch::autograd::grad(graph.gradients, inputs, along, q + 1 < adjoints.size(), false, true);
      const at::NoGradGuard no_grad;
      const at::Tensor by_weight = parts.back().to(at::kCPU, at::kDouble);
      parts.pop_back();
      adjoints[q].weights.add_(flat(parts, run.parameters()));
      scores[static_cast<int64_t>(q)].index_add_(0, at::tensor(members, at::kLong), -by_weight);
    }
  }
}

/// Gradients of the queries' losses by the trained weights, [parameter] each.
Adjoints query_adjoints(TrainingRun& run, const Instances& queries, int64_t begin, int64_t end, bool mean,
                        at::Tensor losses) {
  Adjoints adjoints;
  for (int64_t q = begin; q < end; ++q) {
    const Batch batch = make_batch(queries, {q}, run.model());
    const at::AutoGradMode grad(true);
    const at::Tensor loss =
        instance_losses(run.model(), forward(run.model(), batch), batch, mean ? Reduction::mean : Reduction::sum).sum();
    const auto parts = torch::autograd::grad({loss}, run.parameters(), {}, false, false, true);
    const at::NoGradGuard no_grad;
    losses[q] = loss.item<double>();
    adjoints.push_back(adjoint_of(flat(parts, run.parameters()), run.state()));
  }
  return adjoints;
}

/// Metasmoothness (Engstrom et al. 2025): whether a second step of the instances' weights moves each trained weight as
/// the first did, Σ |Δ₁| sign(Δ₁) sign(Δ₂) / Σ |Δ₁|. 1: smooth.
double metasmoothness(const Model& base, const Instances& train, TrainingOptions o, const ReplayOptions& r,
                      const at::Tensor& trained, const Control& control) {
  at::Generator generator = at::detail::createCPUGenerator(static_cast<uint64_t>(r.seed));
  const at::Tensor direction = at::empty({train.size()}, at::kDouble).bernoulli_(0.5, generator).mul_(2).sub_(1);
  const at::Tensor own = o.instance_weights.defined() ? o.instance_weights : at::ones({train.size()}, at::kDouble);
  std::vector<at::Tensor> ends{trained};
  for (const int times : {1, 2}) {
    o.instance_weights = own + times * r.smoothness_step * direction;
    TrainingRun run(base, train, o);
    while (run.step() < static_cast<int64_t>(run.plan().size())) {
      control.progress(run.step(), static_cast<int64_t>(run.plan().size()), "metasmoothness");
      run.advance(control);
    }
    ends.push_back(run.state().weights);
  }
  const at::Tensor first = (ends[1] - ends[0]).to(at::kDouble), second = (ends[2] - ends[1]).to(at::kDouble);
  const double total = first.abs().sum().item<double>();
  return total > 0 ? (first * second.sign()).sum().item<double>() / total : 1;
}

/// Queries whose adjoints are held at a time, and the vectors that remain for states.
struct Room {
  int64_t queries, states;
};

Room room_of(int64_t vector_bytes, int64_t steps, int64_t queries, int64_t memory_bytes) {
  const int64_t least = working_vectors + least_room(steps), each = adjoint_vectors + 1;
  const int64_t left = memory_bytes / vector_bytes - least;
  if (left < each)
    fail(Code::memory, "The least states of the run and the derivatives of one query take ",
         ((least + each) * vector_bytes >> 20) + 1, " MB, but the budget is ", memory_bytes >> 20,
         " MB: raise \"memory\", or train the head only");
  const int64_t held = std::clamp<int64_t>(left / 2 / each, 1, queries);
  return {held, left + least_room(steps) - held * each};
}

}  // namespace

Replay training_influence(const Model& base, const Instances& train, const Instances& queries,
                          const TrainingOptions& training, const ReplayOptions& o, const Control& control) {
  check_training(base, train);
  check_instances(base, queries, "queries");
  Replay replay;
  replay.scores = at::zeros({queries.size(), train.size()}, at::kDouble);
  replay.query_losses = at::zeros({queries.size()}, at::kDouble);
  replay.metasmoothness = std::numeric_limits<double>::quiet_NaN();
  TrainingRun run(base, train, training);
  const TrainingState start = run.snapshot();
  const auto steps = static_cast<int64_t>(run.plan().size());
  const Room room = room_of(static_cast<int64_t>(start.weights.nbytes()), steps, queries.size(), o.memory_bytes);
  Reversal reversal(run, control);
  at::Tensor trained;
  for (int64_t begin = 0; begin < queries.size(); begin += room.queries) {
    const int64_t end = std::min(queries.size(), begin + room.queries);
    run.restore(start);
    Adjoints adjoints;
    int64_t done = 0;
    reversal.through(
        steps, room.states,
        [&] {
          if (!trained.defined()) {
            trained = run.state().weights.clone();
            replay.model = run.kept();
          }
          adjoints = query_adjoints(run, queries, begin, end, o.mean_loss, replay.query_losses);
        },
        [&](const TracedStep& traced) {
          control.progress(done++, steps, "going backwards");
          step_back(run, traced, adjoints, replay.scores.narrow(0, begin, end - begin));
        });
  }
  replay.losses = reversal.losses();
  replay.steps_made = reversal.steps_made();
  if (o.smoothness) replay.metasmoothness = metasmoothness(base, train, training, o, trained, control);
  control.progress(1, 1, "going backwards");
  return replay;
}

}  // namespace attribution
