#include "model/hooks.h"

namespace attribution {

int64_t site_width(const Architecture& a, Site site) { return site == Site::heads ? a.query_width() : a.intermediate; }

int64_t site_units(const Architecture& a, Site site) { return site == Site::heads ? a.heads : a.intermediate; }

}  // namespace attribution
