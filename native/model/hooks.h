// What a caller may watch or change during one forward. A value, passed down the call: nothing is global, nothing
// remains.
#pragma once
#include <ATen/ATen.h>

#include <functional>
#include <optional>
#include <string>

#include "model/weights.h"

namespace attribution {

/// Where units live: inputs of the MLP's and of the attention's output projection, and the first MLP layer before its
/// activation.
enum class Site { neurons, heads, pre_activation };

struct Dropout {
  double embedding, attention, residual, adapter;
  at::Generator generator;
};

struct Hooks {
  /// Sees the site's values [token, feature] and returns what the forward goes on with.
  std::function<at::Tensor(Site, int64_t layer, const at::Tensor&)> site;
  /// Takes the place of a linear module: input [token, input] to output [token, output]. An expert's module sees the
  /// batch's tokens `seen` [token], rising; of any other module `seen` is undefined.
  std::function<at::Tensor(ModuleId, const Linear&, const at::Tensor& input, const at::Tensor& seen)> linear;
  /// Takes the place of a norm: [.., feature] to the same.
  std::function<at::Tensor(ModuleId, const Norm&, const at::Tensor&)> norm;
  /// Takes the place of an embedding: the table [row, feature] and the tokens' rows [token] to [token, feature].
  std::function<at::Tensor(ModuleId, const at::Tensor& table, const at::Tensor& rows)> lookup;
  /// Sees the experts that a layer's router chose, [token, choice], and returns those that the forward goes on with.
  std::function<at::Tensor(int64_t layer, const at::Tensor&)> experts;
  /// `linear` is for the head too; without, a loss may take the head in blocks of classes.
  bool taps_head = false;
  /// Training only.
  std::optional<Dropout> dropout;
  /// Use only operations that can be differentiated twice.
  bool twice_differentiable = false;
};

/// Drops values with this probability and scales the others up, where the hooks have a dropout.
at::Tensor drop(const at::Tensor& x, double probability, const Hooks& hooks);

/// Width of a site's values.
int64_t site_width(const Architecture& architecture, Site site);
/// Units of a site: a head is `head_size` features, a neuron one.
int64_t site_units(const Architecture& architecture, Site site);

}  // namespace attribution
