#include "training/fine_tune.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "model/checkpoint.h"
#include "model/loss.h"
#include "model/transformer.h"

namespace attribution {
namespace {

bool trained(const WeightSlot& slot, bool head_only) { return !head_only || slot.module.module == Module::head; }

/// A copy whose trained weights are leaves of the graph.
Model trainable_copy(const Model& base, bool head_only, std::vector<at::Tensor>& parameters) {
  Model model = copy_model(base);
  for (const WeightSlot& slot : weight_slots(model)) {
    if (!trained(slot, head_only)) continue;
    slot.tensor->requires_grad_(true);
    parameters.push_back(*slot.tensor);
  }
  if (parameters.empty()) fail(Code::unsupported, "The head has no weights of its own (tied output): train \"all\"");
  return model;
}

Model frozen(const Model& model) {
  Model result = model;
  for (const WeightSlot& slot : weight_slots(result)) *slot.tensor = slot.tensor->detach();
  return result;
}

struct Score {
  double loss = std::numeric_limits<double>::quiet_NaN(), accuracy = loss;

  bool better_than(const Score& other) const {
    if (std::isnan(other.loss)) return true;
    if (!std::isnan(accuracy) && accuracy != other.accuracy) return accuracy > other.accuracy;
    return loss < other.loss;
  }
};

Score score(const Model& model, const Instances& d, int64_t batch_tokens, const Control& control) {
  const Evaluation e = evaluate(model, d, batch_tokens, false, control);
  const bool language = model.architecture.head == HeadKind::causal_lm;
  Score result;
  const at::Tensor counted = e.target_tokens.to(at::kDouble);
  const double total = counted.sum().item<double>();
  if (total > 0) result.loss = at::nan_to_num(e.losses).sum().item<double>() / total;
  double known = 0, right = 0;
  for (int64_t i = 0; i < d.size(); ++i) {
    if (d.labels[i] < 0) continue;
    known += 1;
    right += e.predictions[i].item<int>() == d.labels[i];
  }
  if (known > 0 && !language) result.accuracy = right / known;
  return result;
}

class Loop {
 public:
  Loop(const Model& base, const Instances& train, const FineTuneOptions& o, const Control& control)
      : train_(train),
        o_(o),
        control_(control),
        model_(trainable_copy(base, o.head_only, parameters_)),
        engine_(static_cast<uint64_t>(o.seed)),
        optimizer_(parameters_, torch::optim::AdamWOptions(o.learning_rate)
                                    .betas({o.beta1, o.beta2})
                                    .eps(o.epsilon)
                                    .weight_decay(o.weight_decay)) {
    const int64_t batches = (train.size() + o.batch_size - 1) / o.batch_size;
    total_ = o.epochs * ((batches + o.accumulation - 1) / o.accumulation);
    if (o.dropout) {
      const Architecture& a = base.architecture;
      const auto seed = static_cast<uint64_t>(o.seed) + 1;
      at::Generator generator = base.device.is_cuda() ? at::globalContext().defaultGenerator(base.device).clone()
                                                      : at::detail::createCPUGenerator(seed);
      generator.set_current_seed(seed);
      hooks_.dropout = Dropout{a.embedding_dropout, a.attention_dropout, a.residual_dropout, generator};
    }
  }

  void epoch(FineTuneResult& result) {
    const auto batches = epoch_batches(train_, o_.order, o_.batch_size, engine_);
    for (size_t first = 0; first < batches.size(); first += static_cast<size_t>(o_.accumulation)) {
      control_.progress(step_, total_, "fine-tuning");
      const size_t last = std::min(batches.size(), first + static_cast<size_t>(o_.accumulation));
      result.learning_rates.push_back(set_learning_rate());
      result.losses.push_back(
          step({batches.begin() + static_cast<int64_t>(first), batches.begin() + static_cast<int64_t>(last)}));
      ++step_;
    }
  }

  const Model& model() const { return model_; }

  /// AdamW's first or second moments in the places of the weights.
  Model moments(bool second) const {
    Model result = frozen(model_);
    const auto learning = named_weights(model_);
    const auto moments = weight_slots(result);
    for (size_t i = 0; i < learning.size(); ++i) {
      const auto found = optimizer_.state().find(learning[i].tensor.unsafeGetTensorImpl());
      if (found == optimizer_.state().end()) {
        *moments[i].tensor = at::zeros_like(*moments[i].tensor);
        continue;
      }
      const auto& state = static_cast<const torch::optim::AdamWParamState&>(*found->second);
      *moments[i].tensor = second ? state.exp_avg_sq() : state.exp_avg();
    }
    return result;
  }

 private:
  double set_learning_rate() {
    const double rate = o_.learning_rate * schedule_factor(o_.schedule, step_, o_.warmup_steps, total_);
    for (auto& group : optimizer_.param_groups()) static_cast<torch::optim::AdamWOptions&>(group.options()).lr(rate);
    return rate;
  }

  double step(const std::vector<std::vector<int64_t>>& batches) {
    double count = 0, loss = 0;
    for (const auto& members : batches) count += static_cast<double>(members.size());
    optimizer_.zero_grad();
    for (const auto& members : batches) {
      control_.check();
      const Batch batch = make_batch(train_, members, model_.device);
      const at::AutoGradMode grad(true);
      const at::Tensor sum =
          instance_losses(model_, forward(model_, batch, hooks_), batch, Reduction::mean, hooks_).sum() / count;
      torch::autograd::backward({sum}, {});
      loss += sum.item<double>();
    }
    if (!std::isfinite(loss))
      fail(Code::native, "Fine-tuning diverged: the loss of step ", step_, " is not finite; lower \"learningRate\"");
    if (o_.clip > 0) torch::nn::utils::clip_grad_norm_(parameters_, o_.clip);
    optimizer_.step();
    return loss;
  }

  const Instances& train_;
  const FineTuneOptions& o_;
  const Control& control_;
  std::vector<at::Tensor> parameters_;
  Model model_;
  std::mt19937_64 engine_;
  torch::optim::AdamW optimizer_;
  Hooks hooks_;
  int64_t step_ = 0, total_ = 0;
};

void check(const Model& base, const Instances& train, const FineTuneOptions& o) {
  check_instances(base, train, "train");
  const bool language = base.architecture.head == HeadKind::causal_lm;
  if (language && train.targets.empty()) fail(Code::missing, "The training instances have no target tokens");
  for (int64_t i = 0; !language && i < train.size(); ++i) {
    if (train.labels[i] < 0) fail(Code::invalid, "Training instance ", i, " has no label");
  }
  for (const auto* files : {&o.checkpoint_files, &o.first_moment_files, &o.second_moment_files}) {
    if (!files->empty() && static_cast<int64_t>(files->size()) != o.epochs)
      fail(Code::invalid, "Expected one checkpoint file per epoch");
  }
}

void write_checkpoint(const Loop& loop, const Model& now, size_t epoch, const FineTuneOptions& o,
                      const Control& control) {
  const auto write = [&](const Model& model, const std::vector<std::string>& files) {
    if (!files.empty())
      write_weights(model, files[epoch], o.checkpoint_header, o.checkpoint_weights, model.dtype, control);
  };
  write(now, o.checkpoint_files);
  if (o.first_moment_files.empty()) return;
  write(loop.moments(false), o.first_moment_files);
  write(loop.moments(true), o.second_moment_files);
}

}  // namespace

FineTuneResult fine_tune(const Model& base, const Instances& train, const Instances& evaluation,
                         const FineTuneOptions& o, const Control& control) {
  check(base, train, o);
  Loop loop(base, train, o, control);
  FineTuneResult result;
  Score best;
  const bool evaluates = evaluation.size() > 0;
  for (int64_t epoch = 0; epoch < o.epochs; ++epoch) {
    loop.epoch(result);
    const Model now = frozen(loop.model());
    const Score reached = evaluates ? score(now, evaluation, o.batch_tokens, control) : Score{};
    result.evaluation_losses.push_back(reached.loss);
    result.evaluation_accuracies.push_back(reached.accuracy);
    write_checkpoint(loop, now, static_cast<size_t>(epoch), o, control);
    if (epoch > 0 && evaluates && o.keep_best && !reached.better_than(best)) continue;
    best = reached;
    result.kept_epoch = epoch;
    const bool final = epoch == o.epochs - 1;
    if (final || (evaluates && o.keep_best)) result.model = final ? now : copy_model(now);
  }
  control.progress(1, 1, "fine-tuning");
  return result;
}

}  // namespace attribution
