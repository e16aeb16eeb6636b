#include "model/hooks.h"

namespace attribution {

std::string module_name(const Architecture& a, ModuleId id) {
  static const char* const names[] = {
      "embedding.token",
      "embedding.position",
      "embedding.norm",
      "embedding.projectIn",
      "attentionNorm",
      "attention.qkv",
      "attention.query",
      "attention.key",
      "attention.value",
      "attention.queryNorm",
      "attention.keyNorm",
      "attention.output",
      "mlpNorm",
      "mlp.gate",
      "mlp.up",
      "mlp.down",
      "finalNorm",
      "embedding.projectOut",
  };
  if (id.module == Module::head) return head_name(a);
  const std::string name = names[static_cast<size_t>(id.module)];
  return id.layer < 0 ? name : "layers." + std::to_string(id.layer) + "." + name;
}

int64_t site_width(const Architecture& a, Site site) { return site == Site::heads ? a.query_width() : a.intermediate; }

int64_t site_units(const Architecture& a, Site site) { return site == Site::heads ? a.heads : a.intermediate; }

}  // namespace attribution
