// A query's quantity from JavaScript.
#pragma once
#include <napi.h>

#include "instance/gradients/quantity.h"

namespace attribution {

/// The field `of`; the loss without.
Quantity quantity_field(const Napi::Object& object);

}  // namespace attribution
