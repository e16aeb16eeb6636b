// The derivative of a trained model's losses by the weight of each training instance, exactly: reverse mode through the
// whole run (MAGIC, Ilyas & Engstrom 2025). From the adjoint after a step follow ḡ, the derivative by the step's
// gradient, and with it, by one backward through the gradient's own graph, ⟨ḡ, ∇ℓᵢ⟩ for each instance and the product
// of the step's Hessian with ḡ for the weights before it.
#pragma once
#include <functional>
#include <vector>

#include "training/run.h"

namespace attribution {

struct ReplayOptions {
  int64_t memory_bytes = int64_t{1} << 30;  // of states, adjoints and gradients; the batches' graphs come on top
  bool mean_loss = false;                   // a causal LM's query: the mean over its target tokens, not the sum
  bool smoothness = true;
  double smoothness_step = 0.1;  // h
  int64_t seed = 42;             // of the direction in which the smoothness is taken
};

struct Replay {
  at::Tensor scores;           // [query, train] double: −∂L(q)/∂wᵢ
  at::Tensor query_losses;     // [query] double, of the trained model
  std::vector<double> losses;  // [step]
  double metasmoothness;       // within −1–1; NaN where it is not taken
  int64_t steps_made = 0;      // of the run and its replays
  Model model;                 // the trained one
};

Replay training_influence(const Model& base, const Instances& train, const Instances& queries,
                          const TrainingOptions& training, const ReplayOptions& options, const Control& control);

}  // namespace attribution
