#include "training/run.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "model/checkpoint.h"
#include "model/evaluate.h"
#include "model/loss.h"
#include "model/transformer.h"

namespace attribution {
namespace {

bool learns(const Architecture& a, ModuleId id, Trainable trainable) {
  if (trainable == Trainable::all) return true;
  if (trainable == Trainable::head) return is_head(id.module);
  return id.part != Part::own || std::ranges::find(a.adapter_saved, module_name(a, id)) != a.adapter_saved.end();
}

std::vector<at::Tensor*> trained_weights(Model& model, Trainable trainable) {
  std::vector<at::Tensor*> found;
  for (const WeightSlot& slot : weight_slots(model)) {
    if (learns(model.architecture, slot.module, trainable)) found.push_back(slot.tensor);
  }
  if (found.empty() && trainable == Trainable::head)
    fail(Code::unsupported, "The head has no weights of its own (tied output): train \"all\"");
  if (found.empty()) fail(Code::unsupported, "The model has no adapter to train: give \"adapter\"");
  return found;
}

std::vector<TrainingStep> plan_of(const Instances& train, const TrainingOptions& o) {
  std::mt19937_64 engine(static_cast<uint64_t>(o.seed));
  std::vector<TrainingStep> plan;
  for (int64_t epoch = 0; epoch < o.epochs; ++epoch) {
    const auto batches = epoch_batches(train, o.order, o.batch_size, engine);
    for (size_t i = 0; i < batches.size(); ++i) {
      if (i % static_cast<size_t>(o.accumulation) == 0) plan.emplace_back();
      plan.back().batches.push_back(batches[i]);
    }
  }
  const auto total = static_cast<int64_t>(plan.size());
  for (int64_t i = 0; i < total; ++i)
    plan[static_cast<size_t>(i)].rate = o.learning_rate * schedule_factor(o.schedule, i, o.warmup_steps, total);
  return plan;
}

std::optional<Dropout> dropout_of(const Model& base, const TrainingOptions& o) {
  if (!o.dropout) return std::nullopt;
  const Architecture& a = base.architecture;
  const auto seed = static_cast<uint64_t>(o.seed) + 1;
  at::Generator generator = base.device.is_cuda() ? at::globalContext().defaultGenerator(base.device).clone()
                                                  : at::detail::createCPUGenerator(seed);
  generator.set_current_seed(seed);
  return Dropout{a.embedding_dropout, a.attention_dropout, a.residual_dropout, a.adapter_dropout, generator};
}

}  // namespace

double TrainingStep::count() const {
  double count = 0;
  for (const auto& members : batches) count += static_cast<double>(members.size());
  return count;
}

TrainingRun::TrainingRun(const Model& base, const Instances& train, const TrainingOptions& o)
    : base_(base), train_(train), options_(o), model_(base), plan_(plan_of(train, o)) {
  const at::NoGradGuard no_grad;
  if (o.instance_weights.defined() && o.instance_weights.numel() != train.size())
    fail(Code::invalid, "Expected \"instanceWeights\" to be ", train.size(), " numbers but received ",
         o.instance_weights.numel());
  hooks_.dropout = dropout_of(base, o);
  const auto weights = trained_weights(model_, o.trainable);
  if (o.trainable == Trainable::all) model_.files.clear();  // no weight views a file any more
  int64_t total = 0;
  for (const at::Tensor* weight : weights) total += weight->numel();
  state_.weights = at::empty({total}, model_.options());
  state_.first = at::zeros_like(state_.weights);
  if (o.optimizer == Optimizer::adamw) state_.second = at::zeros_like(state_.weights);
  int64_t first = 0;
  for (at::Tensor* weight : weights) {
    const at::Tensor own = state_.weights.narrow(0, first, weight->numel()).view(weight->sizes());
    own.copy_(*weight);
    first += weight->numel();
    *weight = own.detach().requires_grad_(true);
    parameters_.push_back(*weight);
  }
}

int64_t TrainingRun::steps_of_an_epoch() const { return static_cast<int64_t>(plan_.size()) / options_.epochs; }

void TrainingRun::fail_diverged(const TrainingStep& step) const {
  const at::NoGradGuard no_grad;
  for (const auto& members : step.batches) {
    const Batch batch = make_batch(train_, members, base_);
    instance_losses(base_, forward(base_, batch), batch, Reduction::mean);
  }
  fail(Code::native, "Fine-tuning diverged: the loss of step ", state_.step, " is not finite; lower \"learningRate\"");
}

double TrainingRun::advance(const Control& control, at::Tensor* kept) {
  const TrainingStep& step = plan_[static_cast<size_t>(state_.step)];
  double loss = 0;
  at::Tensor gradient = at::zeros_like(state_.weights);
  for (const auto& members : step.batches) {
    control.check();
    const Batch batch = make_batch(train_, members, model_);
    const at::AutoGradMode grad(true);
    const at::Tensor losses = instance_losses(model_, forward(model_, batch, hooks_, NotFinite::keep), batch,
                                              Reduction::mean, hooks_, NotFinite::keep);
    const at::Tensor weights = weights_of(members);
    const at::Tensor sum = (weights.defined() ? losses * weights.to(losses.options()) : losses).sum() / step.count();
    auto parts = torch::autograd::grad({sum}, parameters_, {}, false, false, true);
    const at::NoGradGuard no_grad;
    gradient.add_(flat(parts, parameters_));
    loss += sum.item<double>();
  }
  if (!std::isfinite(loss)) fail_diverged(step);
  const at::NoGradGuard no_grad;
  if (kept) *kept = gradient;
  optimizer_step(state_, clipped(gradient, options_.clip), step.rate, options_);
  return loss;
}

TrainingState TrainingRun::snapshot() const {
  TrainingState copy = state_;
  for (at::Tensor* t : {&copy.weights, &copy.first, &copy.second}) {
    if (t->defined()) *t = t->clone();
  }
  if (hooks_.dropout) copy.generator = hooks_.dropout->generator.get_state();
  return copy;
}

void TrainingRun::restore(const TrainingState& state) {
  const at::NoGradGuard no_grad;
  state_.step = state.step;
  state_.weights.copy_(state.weights);
  state_.first.copy_(state.first);
  if (state_.second.defined()) state_.second.copy_(state.second);
  if (hooks_.dropout) hooks_.dropout->generator.set_state(state.generator);
}

Model TrainingRun::in_places(const at::Tensor& vector) const {
  Model result = frozen();
  for (const WeightSlot& slot : weight_slots(result)) *slot.tensor = at::zeros_like(*slot.tensor);
  int64_t first = 0;
  for (at::Tensor* weight : trained_weights(result, options_.trainable)) {
    const int64_t size = weight->numel();
    if (vector.defined()) *weight = vector.narrow(0, first, size).view(weight->sizes());
    first += size;
  }
  return result;
}

Model TrainingRun::frozen() const {
  Model result = model_;
  for (const WeightSlot& slot : weight_slots(result)) *slot.tensor = slot.tensor->detach();
  return result;
}

Model TrainingRun::kept() const {
  Model result = frozen();
  for (at::Tensor* weight : trained_weights(result, options_.trainable)) *weight = weight->clone();
  return result;
}

at::Tensor TrainingRun::weights_of(const std::vector<int64_t>& members) const {
  if (!options_.instance_weights.defined()) return {};
  return options_.instance_weights.index_select(0, at::tensor(members, at::kLong)).to(model_.device);
}

void check_training(const Model& base, const Instances& train) {
  check_instances(base, train, "train");
  const bool language = base.architecture.predicts_tokens();
  if (language && train.targets.empty()) fail(Code::missing, "The training instances have no target tokens");
  for (int64_t i = 0; !language && i < train.size(); ++i) {
    if (train.labels[i] < 0) fail(Code::invalid, "Training instance ", i, " has no label");
  }
}

at::Tensor flat(const std::vector<at::Tensor>& tensors, const std::vector<at::Tensor>& like) {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < like.size(); ++i)
    parts.push_back(tensors[i].defined() ? tensors[i].reshape({-1})
                                         : at::zeros({like[i].numel()}, like[i].options().requires_grad(false)));
  return at::cat(parts);
}

}  // namespace attribution
