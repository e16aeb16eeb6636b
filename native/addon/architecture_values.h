// An architecture as JavaScript describes it (types/architecture.ts), checked.
#pragma once
#include <napi.h>

#include "model/architecture.h"

namespace attribution {

Architecture architecture_of(const Napi::Object& object);

}  // namespace attribution
