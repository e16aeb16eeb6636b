// EK-FAC's factors as stored: tensors "<module>.inputBasis", "<module>.outputBasis" and "<module>.eigenvalues", mapped
// and not copied; those beyond `resident_bytes` are given back after each use.
#pragma once
#include "instance/ekfac/ekfac.h"

namespace attribution {

/// Refuses a factor that is missing or that does not fit the module.
std::vector<EkfacModule> stored_ekfac(const Model& model, const ModuleSelection& modules,
                                      const std::vector<WeightSource>& sources, int64_t resident_bytes);

}  // namespace attribution
