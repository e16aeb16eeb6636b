#include "model/batch.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace attribution {
namespace {

at::Tensor on_device(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::kLong).to(device);
}

void check_offsets(std::span<const int32_t> offsets, int64_t end, const char* name, const char* which) {
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != end)
    fail(Code::invalid, name, ".", which, " must run from 0 to ", end);
  for (size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] <= offsets[i - 1]) fail(Code::invalid, name, ".", which, ": entry ", i - 1, " is empty");
  }
}

void check_tokens(const Model& model, const Instances& d, const char* name) {
  const Architecture& a = model.architecture;
  for (int64_t row = 0; row < d.rows(); ++row) {
    if (d.row_length(row) > a.positions) {
      fail(Code::invalid, name, ": row ", row, " has ", d.row_length(row), " tokens, but the model has ", a.positions,
           " positions");
    }
  }
  for (size_t i = 0; i < d.tokens.size(); ++i) {
    if (d.tokens[i] < 0 || d.tokens[i] >= a.vocabulary) {
      fail(Code::invalid, name, ": token id ", d.tokens[i], " at ", i, " is outside the vocabulary 0–",
           a.vocabulary - 1);
    }
  }
}

/// A masked language model reads one position of a row: the only one with a target.
void check_masks(const Instances& d, const char* name) {
  if (d.targets.empty())
    fail(Code::missing, name, " name no masked position: a masked language model's instances need targets");
  for (int64_t row = 0; row < d.rows(); ++row) {
    int64_t masks = 0;
    for (int64_t t = d.row_offsets[row]; t < d.row_offsets[row + 1]; ++t) masks += d.targets[t] != no_target;
    if (masks != 1)
      fail(Code::mismatch, name, ": row ", row, " has ", masks,
           " masked positions, but a masked language model reads exactly one");
  }
}

void check_types(const Model& model, const Instances& d, const char* name) {
  if (!d.types.empty() && d.types.size() != d.tokens.size())
    fail(Code::invalid, name, ".tokenTypes has ", d.types.size(), " entries for ", d.tokens.size(), " tokens");
  const int64_t most = std::max<int64_t>(1, model.architecture.token_types) - 1;
  for (size_t i = 0; i < d.types.size(); ++i) {
    if (d.types[i] < 0 || d.types[i] > most)
      fail(Code::invalid, name, ": token type ", d.types[i], " at ", i, " is outside 0–", most);
  }
}

void check_labels(const Model& model, const Instances& d, const char* name) {
  const Architecture& a = model.architecture;
  for (int64_t i = 0; i < d.size(); ++i) {
    const int64_t rows = d.group_offsets[i + 1] - d.group_offsets[i];
    if (a.head != HeadKind::choice && rows != 1)
      fail(Code::mismatch, name, ": instance ", i, " has ", rows, " rows, but only a choice head takes groups");
    const int64_t classes = a.head == HeadKind::choice ? rows : a.predicts_tokens() ? a.vocabulary : a.labels;
    if (d.labels[i] < -1 || d.labels[i] >= classes) {
      fail(Code::mismatch, name, ": label ", d.labels[i], " of instance ", i, " does not fit a head with ", classes,
           " classes");
    }
  }
  for (size_t i = 0; i < d.targets.size(); ++i) {
    const bool masked = a.head == HeadKind::masked_lm && d.targets[i] == unknown_target;
    if (d.targets[i] != no_target && !masked && (d.targets[i] < 0 || d.targets[i] >= a.vocabulary)) {
      fail(Code::invalid, name, ": target ", d.targets[i], " at ", i, " is outside the vocabulary");
    }
  }
}

/// The packed index of the token that the head reads of a row whose tokens are placed from `first` on.
int64_t readout_of(const Architecture& a, const Instances& d, int64_t row, int64_t first) {
  const int64_t begin = d.row_offsets[row], length = d.row_length(row);
  if (a.head == HeadKind::masked_lm && !d.targets.empty()) {
    for (int64_t t = 0; t < length; ++t) {
      if (d.targets[begin + t] != no_target) return first + t;
    }
  }
  return a.readout == Readout::last ? first + length - 1 : first;
}

void add_rows(Batch& batch, const Instances& d, const std::vector<int64_t>& rows,
              const std::vector<int64_t>& row_instance, const Model& model) {
  const at::Device device = model.device;
  std::vector<int64_t> tokens, positions, lengths, readout, targets, owner, types;
  batch.row_offsets = {0};
  for (size_t r = 0; r < rows.size(); ++r) {
    const int64_t begin = d.row_offsets[rows[r]], length = d.row_length(rows[r]);
    readout.push_back(readout_of(model.architecture, d, rows[r], static_cast<int64_t>(tokens.size())));
    for (int64_t t = 0; t < length; ++t) {
      tokens.push_back(d.tokens[begin + t]);
      positions.push_back(t);
      lengths.push_back(length);
      owner.push_back(row_instance[r]);
      if (!d.types.empty()) types.push_back(d.types[begin + t]);
      if (d.targets.empty()) continue;
      targets.push_back(d.targets[begin + t] == unknown_target ? no_target : d.targets[begin + t]);
    }
    batch.row_offsets.push_back(static_cast<int64_t>(tokens.size()));
    batch.equal = batch.equal && (batch.longest == 0 || batch.longest == length);
    batch.longest = std::max(batch.longest, length);
  }
  batch.tokens = on_device(tokens, device);
  batch.positions = on_device(positions, device);
  batch.lengths = on_device(lengths, device);
  batch.readout = on_device(readout, device);
  batch.token_instance = on_device(owner, device);
  if (!types.empty()) batch.types = on_device(types, device);
  if (!targets.empty()) batch.targets = on_device(targets, device);
}

void add_padding(Batch& batch, at::Device device) {
  if (batch.equal) return;
  std::vector<int64_t> pad, unpad;
  for (int64_t row = 0; row < batch.rows(); ++row) {
    const int64_t begin = batch.row_offsets[row], length = batch.row_offsets[row + 1] - begin;
    for (int64_t t = 0; t < batch.longest; ++t) {
      pad.push_back(t < length ? begin + t : begin);
      if (t < length) unpad.push_back(row * batch.longest + t);
    }
  }
  batch.pad_index = on_device(pad, device);
  batch.unpad_index = on_device(unpad, device);
}

}  // namespace

int64_t Instances::longest_row(int64_t instance) const {
  int64_t longest = 0;
  for (int64_t row = group_offsets[instance]; row < group_offsets[instance + 1]; ++row)
    longest = std::max(longest, row_length(row));
  return longest;
}

void check_instances(const Model& model, const Instances& d, const char* name) {
  if (d.group_offsets.size() < 2) fail(Code::invalid, name, " has no instances");
  check_offsets(d.row_offsets, static_cast<int64_t>(d.tokens.size()), name, "rowOffsets");
  check_offsets(d.group_offsets, d.rows(), name, "groupOffsets");
  if (static_cast<int64_t>(d.labels.size()) != d.size())
    fail(Code::invalid, name, ".labels has ", d.labels.size(), " entries for ", d.size(), " instances");
  if (!d.targets.empty() && d.targets.size() != d.tokens.size())
    fail(Code::invalid, name, ".targets has ", d.targets.size(), " entries for ", d.tokens.size(), " tokens");
  check_tokens(model, d, name);
  check_types(model, d, name);
  if (model.architecture.head == HeadKind::masked_lm) check_masks(d, name);
  check_labels(model, d, name);
}

Batch make_batch(const Instances& d, std::vector<int64_t> chosen, const Model& model) {
  Batch batch;
  std::vector<int64_t> rows, row_instance, labels;
  batch.group_offsets = {0};
  for (size_t i = 0; i < chosen.size(); ++i) {
    for (int64_t row = d.group_offsets[chosen[i]]; row < d.group_offsets[chosen[i] + 1]; ++row) {
      rows.push_back(row);
      row_instance.push_back(static_cast<int64_t>(i));
    }
    batch.group_offsets.push_back(static_cast<int64_t>(rows.size()));
    labels.push_back(d.labels[chosen[i]]);
  }
  batch.instances = std::move(chosen);
  batch.labels = on_device(labels, model.device);
  add_rows(batch, d, rows, row_instance, model);
  add_padding(batch, model.device);
  return batch;
}

Batch make_row_batch(const Instances& d, const std::vector<int64_t>& rows, const Model& model) {
  Batch batch;
  std::vector<int64_t> own(rows.size());
  std::iota(own.begin(), own.end(), 0);
  batch.group_offsets.resize(rows.size() + 1);
  std::iota(batch.group_offsets.begin(), batch.group_offsets.end(), 0);
  batch.instances = own;
  batch.labels =
      at::full({static_cast<int64_t>(rows.size())}, -1, at::TensorOptions().dtype(at::kLong).device(model.device));
  add_rows(batch, d, rows, own, model);
  add_padding(batch, model.device);
  return batch;
}

RowCopies copies_of(const Batch& all, const std::vector<int64_t>& rows, int64_t copies) {
  const at::Device device = all.tokens.device();
  RowCopies made;
  Batch& batch = made.batch;
  const at::Tensor old_readout = all.readout.to(at::kCPU);
  std::vector<int64_t> source, readout;
  batch.row_offsets = {0};
  for (int64_t copy = 0; copy < copies; ++copy) {
    for (const int64_t row : rows) {
      const int64_t begin = all.row_offsets[row], length = all.row_offsets[row + 1] - begin;
      readout.push_back(batch.row_offsets.back() + old_readout[row].item<int64_t>() - begin);
      for (int64_t t = 0; t < length; ++t) source.push_back(begin + t);
      batch.row_offsets.push_back(static_cast<int64_t>(source.size()));
      batch.equal = batch.equal && (batch.longest == 0 || batch.longest == length);
      batch.longest = std::max(batch.longest, length);
    }
  }
  made.source = on_device(source, device);
  batch.tokens = all.tokens.index_select(0, made.source);
  batch.positions = all.positions.index_select(0, made.source);
  batch.lengths = all.lengths.index_select(0, made.source);
  batch.readout = on_device(readout, device);
  add_padding(batch, device);
  return made;
}

at::Tensor read_rows(const Architecture& a, const at::Tensor& hidden, const Batch& batch) {
  if (a.readout != Readout::mean || a.predicts_tokens()) return hidden.index_select(0, batch.readout);
  std::vector<int64_t> owner;
  for (int64_t row = 0; row < batch.rows(); ++row)
    owner.insert(owner.end(), static_cast<size_t>(batch.row_offsets[row + 1] - batch.row_offsets[row]), row);
  const at::Tensor sums = at::zeros({batch.rows(), hidden.size(1)}, hidden.options())
                              .index_add(0, on_device(owner, hidden.device()), hidden);
  return sums / batch.lengths.index_select(0, batch.readout).unsqueeze(1);
}

std::vector<std::vector<int64_t>> pack(const Instances& d, int64_t batch_tokens, const Fits& fits) {
  std::vector<int64_t> order(static_cast<size_t>(d.size()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return d.longest_row(a) > d.longest_row(b); });
  std::vector<std::vector<int64_t>> batches;
  int64_t rows = 0, longest = 0;
  for (const int64_t i : order) {
    const int64_t own = d.group_offsets[i + 1] - d.group_offsets[i];
    const int64_t wider = std::max(longest, d.longest_row(i));
    const bool is_full = batches.empty() || (rows + own) * wider > batch_tokens ||
                         (fits && !fits({std::ssize(batches.back()) + 1, rows + own, wider}));
    if (is_full) {
      batches.emplace_back();
      rows = longest = 0;
    }
    batches.back().push_back(i);
    rows += own;
    longest = std::max(longest, d.longest_row(i));
  }
  return batches;
}

}  // namespace attribution
