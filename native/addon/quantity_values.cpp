#include "addon/quantity_values.h"

#include "addon/values.h"

namespace attribution {

Quantity quantity_field(const Napi::Object& object) {
  using Kind = Quantity::Kind;
  Quantity q;
  if (!object.Has("of") || !object.Get("of").IsObject()) return q;
  const Napi::Object p = object_field(object, "of");
  q.kind = choice_field<Kind>(p, "kind",
                              {{"neuron", Kind::neuron},
                               {"head", Kind::head},
                               {"residual", Kind::residual},
                               {"output", Kind::output},
                               {"attention", Kind::attention}});
  q.layer = integer_field(p, "layer");
  q.unit = integer_field(p, "unit");
  const std::vector<double> direction = doubles_field(p, "direction");
  if (!direction.empty()) q.direction = at::tensor(direction, at::kDouble);
  q.target = choice_field<TargetKind>(p, "target",
                                      {{"logit", TargetKind::logit},
                                       {"probability", TargetKind::probability},
                                       {"logProbability", TargetKind::log_probability}});
  q.labels = integers_of(field(p, "labels"), "labels");
  q.contrasts = integers_of(field(p, "contrasts"), "contrasts");
  q.positions = integers_of(field(p, "positions"), "positions");
  q.key = integer_field(p, "key");
  return q;
}

}  // namespace attribution
