// Options of influence functions, whatever the solver.
#pragma once
#include <limits>

#include "instance/gradients/options.h"
#include "model/checkpoint.h"

namespace attribution {

/// Labels under which EK-FAC takes gradients: drawn from the model, or the instances' own.
enum class Fisher { sampled, empirical };
enum class Inverse { identity, cg, lissa, arnoldi, ekfac };

struct InfluenceOptions : FeatureOptions {
  Inverse inverse = Inverse::lissa;
  double damping = 0.01;   // λ of cg and arnoldi, in the units of H; of ekfac a share of each module's mean eigenvalue
  bool full_path = false;  // the network for every product with H, also where states can be cached
  // cg, arnoldi
  int64_t iterations = 100;
  double tolerance = 1e-6;  // cg: of the residual, relative to the query's gradient
  int64_t rank = 50;        // arnoldi: eigenpairs kept
  // lissa: h ← v + (1 − lissa_damping) h − H h / scale, the result h / scale; its λ is lissa_damping · scale
  double lissa_damping = 0.01;
  double scale = 10;
  int64_t recursions = 100, repeats = 1;
  int64_t batch_size = 8;  // training instances of one recursion's Hessian
  int64_t seed = 42;
  Fisher fisher = Fisher::sampled;                             // ekfac
  std::vector<WeightSource> factors;                           // ekfac: as stored; empty: they are fitted
  int64_t factor_bytes = std::numeric_limits<int64_t>::max();  // ekfac: factors that stay in memory
};

}  // namespace attribution
