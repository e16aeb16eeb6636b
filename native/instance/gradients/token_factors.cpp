#include "instance/gradients/token_factors.h"

namespace attribution {

at::Tensor seen_tokens(const Architecture& a, const Batch& batch, bool head) {
  if (!head) return at::arange(batch.token_total(), batch.token_instance.options());
  return a.predicts_tokens() ? batch.targets.ne(no_target).nonzero().squeeze(1) : batch.readout;
}

Factors token_factors(const Factors& factors, const Model& model, const Batch& batch, const ModuleSelection& modules) {
  Factors own = factors;
  own.instances = batch.token_total();
  for (size_t i = 0; i < modules.size(); ++i) {
    ModuleFactors& m = own.modules[i];
    m.instance = m.tokens.defined() ? m.tokens : seen_tokens(model.architecture, batch, is_head(modules.id(i).module));
    if (!m.head) continue;
    m.head = std::make_shared<ModuleFactors>(*m.head);
    m.head->instance = seen_tokens(model.architecture, batch, true);
  }
  return own;
}

}  // namespace attribution
