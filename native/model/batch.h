// Instances as they come from JavaScript (ragged) and the packed batches made of them. A batch holds the tokens of its
// rows one after the other, [token]; padding exists only inside attention, and there a row reads itself alone, so that
// no row depends on its neighbours.
#pragma once
#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/weights.h"

namespace attribution {

inline constexpr int64_t no_target = -100;
/// At the masked position of a masked LM's row whose token is not known.
inline constexpr int64_t unknown_target = -1;

/// Views of arrays that `owner` keeps alive; see types/data.ts.
struct Instances {
  std::span<const int32_t> tokens, row_offsets, group_offsets, labels, targets;
  std::shared_ptr<void> owner;
  std::span<const int32_t> types = {};  // [token] or empty: all 0

  int64_t size() const { return static_cast<int64_t>(group_offsets.size()) - 1; }
  int64_t rows() const { return static_cast<int64_t>(row_offsets.size()) - 1; }
  int64_t row_length(int64_t row) const { return row_offsets[row + 1] - row_offsets[row]; }
  int64_t token_count(int64_t instance) const {
    return row_offsets[group_offsets[instance + 1]] - row_offsets[group_offsets[instance]];
  }
  /// Rows of the instance's longest row.
  int64_t longest_row(int64_t instance) const;
};

/// Refuses instances that do not fit each other or the model: offsets, token ids, lengths, labels, targets.
void check_instances(const Model& model, const Instances& instances, const char* name);

struct Batch {
  std::vector<int64_t> instances;      // their indices in the data set
  std::vector<int64_t> row_offsets;    // [row + 1] into the packed tokens
  std::vector<int64_t> group_offsets;  // [instance + 1] into the rows
  int64_t longest = 0;
  bool equal = true;          // all rows have one length: padding is a view
  at::Tensor tokens;          // [token]
  at::Tensor positions;       // [token] index within the row
  at::Tensor lengths;         // [token] tokens of its row
  at::Tensor readout;         // [row] packed index of the token that is read: the last, the first, the masked one
  at::Tensor pad_index;       // [row * longest] packed index; padding reads the row's own first token
  at::Tensor unpad_index;     // [token] into row * longest
  at::Tensor types;           // [token] or undefined: all 0
  at::Tensor labels;          // [instance], -1 where unknown
  at::Tensor targets;         // [token] or undefined
  at::Tensor token_instance;  // [token] place of its instance in this batch

  int64_t rows() const { return static_cast<int64_t>(row_offsets.size()) - 1; }
  int64_t size() const { return static_cast<int64_t>(instances.size()); }
  int64_t token_total() const { return row_offsets.back(); }
};

Batch make_batch(const Instances& instances, std::vector<int64_t> chosen, const Model& model);

/// A batch of the given rows, each an instance of its own without label.
Batch make_row_batch(const Instances& instances, const std::vector<int64_t>& rows, const Model& model);

/// Rows of a batch, one copy of them all after the other, and the packed index in that batch of each token.
struct RowCopies {
  Batch batch;
  at::Tensor source;  // [token]
};
RowCopies copies_of(const Batch& batch, const std::vector<int64_t>& rows, int64_t copies);

/// What the head reads of hidden states [token, feature]: each row's readout token, or the mean of its tokens where the
/// architecture says so, [row, feature].
at::Tensor read_rows(const Architecture& architecture, const at::Tensor& hidden, const Batch& batch);

struct BatchShape {
  int64_t instances, rows, longest;
};
/// Whether a batch may become so large.
using Fits = std::function<bool(const BatchShape&)>;

/// Instances sorted by length and packed to at most `batch_tokens` tokens, padding of the attention counted, and no
/// further than fits; an instance larger than that is a batch of its own.
std::vector<std::vector<int64_t>> pack(const Instances& instances, int64_t batch_tokens, const Fits& fits = {});

}  // namespace attribution
