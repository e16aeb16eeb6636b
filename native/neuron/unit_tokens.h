// What units push up in vocabulary space: their writes read through the final norm and the head, whatever later layers
// make of them (Geva et al. 2022).
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "core/control.h"
#include "model/hooks.h"

namespace attribution {

struct UnitWrites {
  Site site = Site::neurons;
  std::vector<int64_t> layers, units;  // [entry]
  at::Tensor values;                   // [entry, features of a unit]: the unit's value; of a head its slice
  std::vector<int64_t> rank_of;        // [entry] a token whose rank is wanted
  int64_t top = 10;
};

struct UnitTokens {
  at::Tensor ids, logits;  // [entry, top] best first: int, float
  at::Tensor ranks;        // [entry] int, of `rank_of`; 1 is the best
};

UnitTokens unit_tokens(const Model& model, const UnitWrites& writes, const Control& control);

}  // namespace attribution
