#include "model/hooks.h"

namespace attribution {

std::string module_name(const Architecture& a, ModuleId id) {
  static const char* const names[] = {"attention.qkv", "attention.query", "attention.key", "attention.value", "attention.output", "mlp.gate", "mlp.up", "mlp.down"};
  if (id.module == Module::head) return head_name(a);
  return "layers." + std::to_string(id.layer) + "." + names[static_cast<size_t>(id.module)];
}

int64_t site_width(const Architecture& a, Site site) { return site == Site::heads ? a.query_width() : a.intermediate; }

int64_t site_units(const Architecture& a, Site site) { return site == Site::heads ? a.heads : a.intermediate; }

}  // namespace attribution
