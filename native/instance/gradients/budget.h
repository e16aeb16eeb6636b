// What a job over gradients holds within its budget. Its tensors come from a pool, its batches are as large as what is
// left allows, and a budget that cannot hold its longest instance is refused before anything runs.
#pragma once
#include "instance/gradients/modules.h"
#include "instance/gradients/options.h"
#include "model/memory/tensor_pool.h"

namespace attribution {

/// How often a forward is differentiated: for gradients, or for products with the Hessian.
enum class Backward { once, twice };

class Budget {
 public:
  Budget(const Model& model, const ModuleSelection& modules, const FeatureOptions& options);

  /// Bytes for tensors.
  int64_t room() const { return room_; }
  /// Bytes of the selected parameters as a vector.
  int64_t parameters() const { return parameters_; }
  /// Bytes of the factors of so many tokens.
  int64_t factors(int64_t tokens) const { return factors_ * tokens; }
  /// Bytes that a forward and its backward take of each token, factors included; `longest`: of the rows.
  int64_t token_bytes(Backward backward, int64_t longest) const;
  /// Tokens of a batch that fit beside `held` bytes, at most the option's; refuses where the longest instance does not.
  int64_t batch_tokens(const Instances& instances, int64_t held, Backward backward = Backward::once) const;

 private:
  const Model& model_;
  const FeatureOptions& o_;
  int64_t room_, factors_, parameters_;
  TensorPool pool_;
};

/// Refuses a budget, naming what does not fit.
[[noreturn]] void refuse_budget(int64_t memory_bytes, const std::string& what, int64_t needed);

/// Tokens of the longest instance, padding between its rows counted.
int64_t longest_instance(const Instances& instances);

}  // namespace attribution
