// What a query's gradient is of: its loss, or a quantity f inside the model. Of a quantity the "loss" is −f, so that a
// positive score raises f where it lowers a loss.
#pragma once
#include <ATen/ATen.h>

#include <map>
#include <vector>

#include "core/control.h"
#include "instance/gradients/factors.h"
#include "model/attention.h"
#include "model/batch.h"
#include "model/loss.h"

namespace attribution {

struct Quantity {
  /// loss; a neuron's activation; a head's output projected on a direction of its features; the residual after a block
  /// projected on a direction; a token's or class's logit or probability; an attention weight.
  enum class Kind { loss, neuron, head, residual, output, attention };
  Kind kind = Kind::loss;
  int64_t layer = 0, unit = 0;
  at::Tensor direction;                    // head: [feature], residual: [hidden]
  TargetKind target = TargetKind::logit;   // output
  std::vector<int64_t> labels, contrasts;  // output: [query]; contrasts may be empty
  std::vector<int64_t> positions;          // in each row, negative from its end; empty: all. f is the mean over them
  int64_t key = 0;                         // attention: the position that is looked at

  bool is_loss() const { return kind == Kind::loss; }
};
/// Refuses layers, units and directions that the model has not, and labels that are not one for each query.
void check_quantity(const Model& model, const Quantity& quantity, const Instances& queries);

/// Watches one forward of a batch for a quantity.
class QuantityWatch {
 public:
  QuantityWatch(const Model& model, const Batch& batch, const Quantity& quantity);

  /// Wraps the hooks that are there.
  void attach(Hooks& hooks);
  /// f of each instance of the batch, [instance]. It runs the head through the hooks where they tap it.
  at::Tensor values(const at::Tensor& hidden, const Hooks& hooks) const;
  /// The tokens that the head is run on, and their instances in the batch: [token].
  const at::Tensor& head_tokens() const { return head_tokens_; }
  at::Tensor head_instance() const { return batch_.token_instance.index_select(0, head_tokens_); }

 private:
  at::Tensor row_values() const;
  at::Tensor output_values(const at::Tensor& hidden, const Hooks& hooks) const;
  at::Tensor attention_values() const;
  /// Queries and keys, rotated, of the outputs that were seen.
  QueryKeyValue seen_attention() const;
  void watch_residual(Hooks& hooks);
  void watch_attention(Hooks& hooks);

  const Model& model_;
  const Batch& batch_;
  const Quantity& quantity_;
  at::Tensor tokens_;             // [n] the positions' tokens
  std::vector<int64_t> starts_;   // [n] first token of each one's row
  std::vector<int64_t> lengths_;  // [n] of its row
  std::vector<int64_t> owners_;   // [n] its query in the data set
  at::Tensor head_tokens_;
  at::Tensor seen_;                       // [token, feature]
  std::map<Module, at::Tensor> outputs_;  // attention: of the layer's projections and of their norms
};

/// Factors of the gradient of each instance's loss, or of minus another quantity.
Factors gradient_factors(const Model& model, const Batch& batch, const ModuleSelection& modules, Reduction reduction,
                         const Quantity& of);

/// f of each instance, [instance] double.
at::Tensor quantity_values(const Model& model, const Instances& instances, const Quantity& quantity,
                           int64_t batch_tokens, const Control& control);

}  // namespace attribution
