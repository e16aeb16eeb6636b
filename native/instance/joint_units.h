// Which unit each row or column of a module's weight belongs to, and a module's inner products split by unit.
#pragma once
#include <optional>
#include <vector>

#include "instance/features/module_projection.h"
#include "instance/gradients/factors.h"

namespace attribution {

/// Units of the selected modules. A layer's units are its neurons, then its heads; without selected modules of a kind
/// there are none of it.
struct UnitLayout {
  int64_t layers = 0, neurons = 0, heads = 0;

  int64_t per_layer() const { return neurons + heads; }
  int64_t total() const { return layers * per_layer(); }
};
/// Refuses a selection without any unit's weights.
UnitLayout unit_layout(const Architecture& architecture, const ModuleSelection& modules);

/// A selected module in the parts: its units are the rows or the columns of its weight, or it has none.
struct UnitModule {
  enum class Axis { none, rows, columns };
  Module module = Module::head;
  Axis axis = Axis::none;
  int64_t first = 0;  // of its units among all
  int64_t units = 0;
};
std::vector<UnitModule> unit_modules(const Architecture& architecture, const ModuleSelection& modules,
                                     const UnitLayout& layout);

/// Parts that are being added up, in float (double for float64).
struct UnitParts {
  at::Tensor units;  // [source, instance, unit]
  at::Tensor rest;   // [source, instance]
};
UnitParts zero_parts(int64_t sources, int64_t instances, const UnitLayout& layout, at::TensorOptions type);

/// Adds the parts of one module's inner products of vectors [source, parameter] with the instances' gradients.
void add_parts(UnitParts& parts, const Architecture& architecture, const UnitModule& unit, const at::Tensor& vectors,
               const ModuleFactors& factors, int64_t instances);
/// The same with one gradient, dense [1, parameter], of `outputs` rows.
void add_dense_parts(UnitParts& parts, const Architecture& architecture, const UnitModule& unit,
                     const at::Tensor& vectors, const at::Tensor& gradient, int64_t outputs, int64_t inputs);
/// The same with the module's vectors of features, spread [source, projected width], and its factors projected too.
void add_projected_parts(UnitParts& parts, const Architecture& architecture, const UnitModule& unit,
                         const ModuleProjection& projection, const at::Tensor& vectors, const ModuleFactors& factors,
                         const ModuleFactors& projected, int64_t instances);

/// The factors of some instances of a batch, numbered anew.
Factors chosen_factors(const Factors& factors, const std::vector<int64_t>& chosen);
/// Each instance's gradient times its scale [instance]; with `together`, their sum as one instance.
Factors scaled_factors(const Factors& factors, const at::Tensor& scales);
Factors summed_factors(const Factors& factors);

}  // namespace attribution
