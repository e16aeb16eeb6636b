#include "neuron/unit_tokens.h"

#include "core/error.h"
#include "model/loss.h"
#include "model/transformer.h"
#include "neuron/unit_writes.h"

namespace attribution {
namespace {

void check(const Model& model, const UnitWrites& w) {
  const Architecture& a = model.architecture;
  if (!a.predicts_tokens()) fail(Code::unsupported, "Only a language model's head speaks of tokens");
  if (!a.writes_plainly())
    fail(Code::unsupported,
         "A unit's write is read as part of a pre-norm residual; this model normalises what its blocks write");
  const size_t count = w.layers.size();
  if (count == 0 || !w.values.defined() || w.units.size() != count || w.rank_of.size() != count ||
      w.values.size(0) != static_cast<int64_t>(count))
    fail(Code::mismatch, "Expected a layer, a unit, a value and a token for each entry");
  for (size_t i = 0; i < count; ++i) {
    const bool known = w.layers[i] >= 0 && w.layers[i] < a.layers && w.units[i] >= 0 &&
                       w.units[i] < site_units(a, w.site) && w.rank_of[i] >= 0 && w.rank_of[i] < a.vocabulary;
    if (!known)
      fail(Code::invalid, "The model has no unit ", w.units[i], " in layer ", w.layers[i], ", or no token ",
           w.rank_of[i]);
  }
}

at::Tensor write_of(const Model& model, const UnitWrites& w, int64_t entry) {
  const auto at = static_cast<size_t>(entry);
  const at::Tensor columns = unit_columns(model, w.site, w.layers[at], w.units[at]);
  return at::mv(columns, w.values[entry].to(columns.options())) * model.architecture.residual_scale;
}

}  // namespace

UnitTokens unit_tokens(const Model& model, const UnitWrites& w, const Control& control) {
  check(model, w);
  const at::NoGradGuard no_grad;
  const int64_t count = w.values.size(0), top = std::min(w.top, model.architecture.vocabulary);
  UnitTokens result{at::empty({count, top}, at::kInt), at::empty({count, top}, at::kFloat),
                    at::empty({count}, at::kInt)};
  for (int64_t entry = 0; entry < count; ++entry) {
    control.check();
    const at::Tensor hidden = finish(model, write_of(model, w, entry).unsqueeze(0));
    const at::Tensor logits = head_logits(model, hidden).squeeze(0).to(at::kCPU, at::kFloat);
    const auto [best, ids] = logits.topk(top);
    result.ids[entry].copy_(ids);
    result.logits[entry].copy_(best);
    result.ranks[entry].fill_((logits > logits[w.rank_of[static_cast<size_t>(entry)]]).sum() + 1);
  }
  return result;
}

}  // namespace attribution
