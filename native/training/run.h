// A training run, step by step: its batches and learning rates are laid down at the beginning, its state can be kept
// and restored, so that the run can be made again from any step, bit by bit.
#pragma once
#include <random>
#include <vector>

#include "core/control.h"
#include "model/batch.h"
#include "model/hooks.h"
#include "training/optimizer.h"
#include "training/order.h"
#include "training/schedule.h"

namespace attribution {

/// The weights that learn: all, the head's, or an adapter's with those of the modules that belong to it.
enum class Trainable { all, head, adapter };

struct TrainingOptions : OptimizerOptions {
  int64_t epochs = 3, batch_size = 8, accumulation = 1;
  double learning_rate = 1e-5;
  Schedule schedule = Schedule::linear;
  int64_t warmup_steps = 0;
  double clip = 1;  // longest gradient norm; 0: none
  bool dropout = true;
  Order order = Order::length_sorted;
  Trainable trainable = Trainable::all;
  int64_t seed = 42;
  at::Tensor instance_weights;  // [instance] double: factors of the instances' losses; undefined: 1
};

/// The batches of one optimizer step, each the instances of one forward.
struct TrainingStep {
  std::vector<std::vector<int64_t>> batches;
  double rate = 0;

  /// Instances, over which the losses are averaged.
  double count() const;
};

class TrainingRun {
 public:
  TrainingRun(const Model& base, const Instances& train, const TrainingOptions& options);
  TrainingRun(const TrainingRun&) = delete;

  const std::vector<TrainingStep>& plan() const { return plan_; }
  int64_t steps_of_an_epoch() const;

  /// Makes the next step; returns the mean loss of its instances. `gradient`, where given, gets the gradient before
  /// clipping.
  double advance(const Control& control, at::Tensor* gradient = nullptr);

  /// A copy of the state, and back to one.
  TrainingState snapshot() const;
  void restore(const TrainingState& state);
  int64_t step() const { return state_.step; }

  /// The model whose trained weights are leaves of the graph, and those, in the order of the state.
  const Model& model() const { return model_; }
  const std::vector<at::Tensor>& parameters() const { return parameters_; }
  const TrainingState& state() const { return state_; }
  /// A vector of the parameters in the places of the weights; 0 where a weight does not learn.
  Model in_places(const at::Tensor& vector) const;
  /// The model without the graph; its trained weights are the state's, and the others the base's.
  Model frozen() const;
  /// The same with copies of the trained weights, which further steps leave as they are.
  Model kept() const;

  /// The losses' weights of some instances, or undefined.
  at::Tensor weights_of(const std::vector<int64_t>& members) const;
  /// With which dropout draws; its generator goes on with each forward.
  const Hooks& hooks() const { return hooks_; }
  const TrainingOptions& options() const { return options_; }
  const Instances& train() const { return train_; }

 private:
  /// Refuses instances on which the given model is not finite already; else the weights have diverged.
  [[noreturn]] void fail_diverged(const TrainingStep& step) const;

  const Model base_;
  const Instances& train_;
  TrainingOptions options_;
  TrainingState state_;
  std::vector<at::Tensor> parameters_;
  Model model_;
  Hooks hooks_;
  std::vector<TrainingStep> plan_;
};

/// Refuses instances that the model cannot learn from.
void check_training(const Model& base, const Instances& train);

/// Derivatives [parameter] one after the other, in the parameters' type; those that are not there are 0.
at::Tensor flat(const std::vector<at::Tensor>& tensors, const std::vector<at::Tensor>& like);

}  // namespace attribution
