// The gradients of instances under the inverse of the training loss's Hessian, (H + λI)⁻¹ ∇L: what every influence
// function needs of its queries, some at a time.
#pragma once
#include <functional>
#include <vector>

#include "instance/gradients/factors.h"
#include "instance/influence/solvers.h"

namespace attribution {

struct InfluenceProblem {
  const Model& model;
  const Instances& train;
  const ModuleSelection& modules;
  const InfluenceOptions& o;
  const Control& control;

  CurvatureOptions curvature_options() const { return {o.reduction, o.batch_tokens, o.memory_bytes, o.full_path}; }
};

/// Some instances' gradients and what the inverse makes of them.
struct InverseBlock {
  std::vector<int64_t> instances;
  at::Tensor gradients;  // [instance, parameter]; undefined with EK-FAC, which takes the factors
  at::Tensor vectors;    // [instance, parameter]
  const Curvature*
      curvature;  // of cg and LiSSA: also gives the training instances' products, over cached states where it can
};

/// What the solver reached.
struct SolverReport {
  int64_t iterations = 0;  // made
  double residual = 0;
  at::Tensor eigenvalues;  // arnoldi
};

/// Makes what the inverse needs once (EK-FAC's factors, eigenpairs, cached states), then calls `use` with as many
/// instances at a time as fit the memory. Given `split`, each instance is a block of its own, and its gradient comes as
/// the rows into which `split` takes it.
using SplitFactors = std::function<Factors(const Factors&, const Batch&)>;
SolverReport for_inverse_gradients(const InfluenceProblem& problem, const Instances& instances,
                                   const std::function<void(const InverseBlock&)>& use, const SplitFactors& split = {});

/// Of Arnoldi: H's eigenpairs, and λ + their values; refuses a λ that cancels one.
struct ShiftedPairs {
  Eigenpairs pairs;
  at::Tensor shifted;  // [pair] double, on the CPU
};
ShiftedPairs shifted_pairs(const InfluenceProblem& problem, const Curvature& curvature);
/// Products of each instance's gradient with the eigenvectors, [instance, pair].
at::Tensor pair_coefficients(const InfluenceProblem& problem, const Eigenpairs& pairs, const Instances& instances);

/// The curvature that cg, LiSSA and Arnoldi see; refuses a tied head.
std::unique_ptr<Curvature> solver_curvature(const InfluenceProblem& problem);

}  // namespace attribution
