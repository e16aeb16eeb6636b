// Which positions are scored.
#include "core/error.h"
#include "neuron/neuron_scores.h"

namespace attribution {

ScoredPositions scored_positions(const Model& model, const Batch& batch, const ReadoutTarget& target,
                                 const NeuronOptions& o) {
  if (o.positions == Positions::readout) {
    const at::Tensor last = batch.readout.index_select(0, target.rows);
    return {last, at::arange(batch.size(), last.options())};
  }
  std::vector<int64_t> positions, owner;
  const at::Tensor rows = target.rows.to(at::kCPU);
  for (int64_t i = 0; i < batch.size(); ++i) {
    const int64_t row = rows[i].item<int64_t>(), begin = batch.row_offsets[row],
                  length = batch.row_offsets[row + 1] - begin;
    auto add = [&](int64_t place) {
      if (place >= length)
        fail(Code::invalid, "Expected \"positions\" of instance ", batch.instances[i], " within its target's row of ",
             length, " tokens but received ", place);
      positions.push_back(begin + place);
      owner.push_back(i);
    };
    if (o.positions == Positions::all) {
      for (int64_t t = 0; t < length; ++t) add(t);
    } else {
      for (int32_t k = o.chosen_offsets[batch.instances[i]]; k < o.chosen_offsets[batch.instances[i] + 1]; ++k)
        add(o.chosen[k]);
    }
  }
  return {at::tensor(positions, at::kLong).to(model.device), at::tensor(owner, at::kLong).to(model.device)};
}

}  // namespace attribution
