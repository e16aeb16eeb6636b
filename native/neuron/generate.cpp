#include "neuron/generate.h"

#include <numeric>

#include "core/error.h"
#include "model/loss.h"
#include "model/transformer.h"
#include "neuron/unit_sets.h"

namespace attribution {
namespace {

/// Prompts and what was made of them so far.
struct Rows {
  std::vector<int32_t> tokens, offsets{0};

  int64_t size() const { return static_cast<int64_t>(offsets.size()) - 1; }

  Rows grown(const at::Tensor& next) const {
    Rows longer;
    for (int64_t row = 0; row < size(); ++row) {
      longer.tokens.insert(longer.tokens.end(), tokens.begin() + offsets[row], tokens.begin() + offsets[row + 1]);
      longer.tokens.push_back(next[row].item<int32_t>());
      longer.offsets.push_back(static_cast<int32_t>(longer.tokens.size()));
    }
    return longer;
  }
};

/// The next token of each row. `places` are the changed positions' packed indices, `owner` the instance of each.
at::Tensor next_tokens(const Model& model, const Rows& rows, const Instances& prompts,
                       const std::vector<int64_t>& instances, const Sets& sets) {
  std::vector<int64_t> all(instances.size()), places, owner;
  std::iota(all.begin(), all.end(), 0);
  Batch batch = make_row_batch({rows.tokens, rows.offsets, {}, {}, {}, {}}, all, model);
  batch.instances = instances;
  for (size_t row = 0; row < instances.size(); ++row) {
    for (int64_t place = batch.row_offsets[row] + prompts.row_length(instances[row]) - 1;
         place < batch.row_offsets[row + 1]; ++place) {
      places.push_back(place);
      owner.push_back(instances[row]);
    }
  }
  const at::Tensor positions = at::tensor(places, at::kLong).to(model.device);
  Hooks hooks;
  hooks.site = [&](Site site, int64_t layer, const at::Tensor& x) {
    if (!sets.has(site)) return x;
    const at::Tensor own = x.index_select(0, positions).unsqueeze(1);  // [changed position, 1, width]
    std::vector<int64_t> indices;
    for (size_t i = 0; i < owner.size(); ++i)
      sets.add_features(owner[i], 0, site, layer, static_cast<int64_t>(i) * x.size(1), indices);
    return x.index_copy(0, positions, sets.changed(own, site, layer, indices).squeeze(1));
  };
  const at::Tensor logits = head_logits(model, forward(model, batch, hooks).index_select(0, batch.readout));
  return logits.argmax(1).to(at::kCPU, at::kInt);
}

}  // namespace

at::Tensor generate(const Model& model, const Instances& prompts, const UnitSets& s, int64_t tokens,
                    const Control& control) {
  check_sets(model, prompts, s);
  const Architecture& a = model.architecture;
  if (a.head != HeadKind::causal_lm) fail(Code::unsupported, "Only a causal language model continues prompts");
  if (s.sets != 1) fail(Code::invalid, "Expected one set of units per prompt but received ", s.sets);
  for (int64_t i = 0; i < prompts.size(); ++i) {
    const int64_t longest = prompts.row_length(i) + tokens - 1;
    if (longest > a.positions)
      fail(Code::invalid, "Prompt ", i, " and its continuation take ", longest, " tokens, but the model has ",
           a.positions, " positions");
  }
  const at::NoGradGuard no_grad;
  const Sets sets(model, s);
  at::Tensor result = at::empty({prompts.size(), tokens}, at::kInt);
  int64_t done = 0;
  for (const auto& instances : pack(prompts, s.batch_tokens)) {
    Rows rows;
    for (const int64_t i : instances) {
      rows.tokens.insert(rows.tokens.end(), prompts.tokens.begin() + prompts.row_offsets[i],
                         prompts.tokens.begin() + prompts.row_offsets[i + 1]);
      rows.offsets.push_back(static_cast<int32_t>(rows.tokens.size()));
    }
    const at::Tensor place = at::tensor(instances, at::kLong);
    for (int64_t t = 0; t < tokens; ++t) {
      control.check();
      const at::Tensor next = next_tokens(model, rows, prompts, instances, sets);
      result.select(1, t).index_copy_(0, place, next);
      if (t + 1 < tokens) rows = rows.grown(next);
    }
    done += static_cast<int64_t>(instances.size());
    control.progress(done, prompts.size(), "continuing prompts");
  }
  return result;
}

}  // namespace attribution
