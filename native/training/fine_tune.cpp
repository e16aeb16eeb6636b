#include "training/fine_tune.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "model/checkpoint.h"
#include "model/finite.h"

namespace attribution {
namespace {

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
  const bool language = model.architecture.predicts_tokens();
  Score result;
  const at::Tensor bad = e.target_tokens.gt(0).logical_and(e.losses.isnan()).nonzero().squeeze(1);
  if (bad.numel() > 0) fail_not_finite({bad.const_data_ptr<int64_t>(), bad.const_data_ptr<int64_t>() + bad.numel()});
  const double total = e.target_tokens.sum().item<double>();
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

void check(const Model& base, const Instances& train, const FineTuneOptions& o) {
  check_training(base, train);
  for (const auto* files : {&o.checkpoint_files, &o.first_moment_files, &o.second_moment_files}) {
    if (!files->empty() && static_cast<int64_t>(files->size()) != o.epochs)
      fail(Code::invalid, "Expected one checkpoint file per epoch");
  }
}

void run_epoch(TrainingRun& run, FineTuneResult& result, const Control& control) {
  const auto total = static_cast<int64_t>(run.plan().size());
  for (int64_t i = 0; i < run.steps_of_an_epoch(); ++i) {
    control.progress(run.step(), total, "fine-tuning");
    result.learning_rates.push_back(run.plan()[static_cast<size_t>(run.step())].rate);
    result.losses.push_back(run.advance(control));
  }
}

void write_checkpoint(const TrainingRun& run, const Model& now, size_t epoch, const FineTuneOptions& o,
                      const Control& control) {
  const auto write = [&](const Model& model, const std::vector<std::string>& files) {
    if (!files.empty())
      write_weights(model, files[epoch], o.checkpoint_header, o.checkpoint_weights, model.dtype, control);
  };
  write(now, o.checkpoint_files);
  if (o.first_moment_files.empty()) return;
  write(run.in_places(run.state().first), o.first_moment_files);
  write(run.in_places(run.state().second), o.second_moment_files);
}

}  // namespace

FineTuneResult fine_tune(const Model& base, const Instances& train, const Instances& evaluation,
                         const FineTuneOptions& o, const Control& control) {
  check(base, train, o);
  TrainingRun run(base, train, o);
  FineTuneResult result;
  Score best;
  const bool evaluates = evaluation.size() > 0;
  for (int64_t epoch = 0; epoch < o.epochs; ++epoch) {
    run_epoch(run, result, control);
    const Model now = run.frozen();
    const Score reached = evaluates ? score(now, evaluation, o.batch_tokens, control) : Score{};
    result.evaluation_losses.push_back(reached.loss);
    result.evaluation_accuracies.push_back(reached.accuracy);
    write_checkpoint(run, now, static_cast<size_t>(epoch), o, control);
    if (epoch > 0 && evaluates && o.keep_best && !reached.better_than(best)) continue;
    best = reached;
    result.kept_epoch = epoch;
    const bool final = epoch == o.epochs - 1;
    if (final || (evaluates && o.keep_best)) result.model = final ? now : run.kept();
  }
  control.progress(1, 1, "fine-tuning");
  return result;
}

}  // namespace attribution
