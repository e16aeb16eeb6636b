#include "neuron/unit_sets.h"

#include "core/error.h"

namespace attribution {

void check_sets(const Model& model, const Instances& d, const UnitSets& s) {
  check_instances(model, d, "instances");
  check_target(model, d, s.target);
  if (!s.neurons && !s.heads) fail(Code::invalid, "Expected the neurons, the heads or both to be changed");
  if (s.sets < 1 || static_cast<int64_t>(s.offsets.size()) != d.size() * s.sets + 1)
    fail(Code::invalid, "Expected offsets for ", d.size(), " instances of ", s.sets, " sets");
  if (s.offsets.front() != 0 || s.offsets.back() != static_cast<int64_t>(s.units.size()))
    fail(Code::invalid, "Set offsets must run from 0 to ", s.units.size());
  for (size_t i = 1; i < s.offsets.size(); ++i) {
    if (s.offsets[i] < s.offsets[i - 1]) fail(Code::invalid, "Set offsets must not fall");
  }
  const int64_t most = model.architecture.layers * units_per_layer(model.architecture, s);
  for (const int32_t unit : s.units) {
    if (unit < 0 || unit >= most) fail(Code::invalid, "Expected units within 0–", most - 1, " but received ", unit);
  }
}

}  // namespace attribution
