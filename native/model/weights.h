// The weights of a decoder, each exactly one tensor of the checkpoint in the checkpoint's own layout.
#pragma once
#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "model/modules.h"

namespace attribution {

/// The tensors of one module.
struct Parameters {
  at::Tensor weight;        // linear: [output, input], or transposed; a table: [row, feature]; a norm: [feature]
  at::Tensor bias;          // [output] or [feature]; undefined where the module has none
  bool transposed = false;  // a linear weight stored [input, output] (GPT-2's Conv1D)
  double scale = 1;         // of an adapter's B: its output's factor

  /// [output, input] of a linear module; the others as they are.
  at::Tensor matrix() const { return transposed ? weight.t() : weight; }
};
using Linear = Parameters;
using Norm = Parameters;

/// The parameters of each module that owns some, found in constant time.
class Weights {
 public:
  Weights() = default;
  explicit Weights(const Architecture& architecture);

  Parameters& operator[](ModuleId id) { return parameters_[places_(id)]; }
  const Parameters& operator[](ModuleId id) const { return parameters_[places_(id)]; }

 private:
  ModulePlaces places_;
  std::vector<Parameters> parameters_;
};

class MappedFile;

struct Model {
  Architecture architecture;
  Weights weights;
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  std::vector<std::weak_ptr<const MappedFile>> files;  // that weights may view; one that none views is gone

  at::TensorOptions options() const { return at::TensorOptions().dtype(dtype).device(device); }
};

/// A weight as the checkpoint has it.
struct WeightShape {
  std::string name;
  std::vector<int64_t> shape;
};
struct NamedWeight : WeightShape {
  at::Tensor tensor;
};
struct WeightSlot : WeightShape {
  ModuleId module;
  at::Tensor* tensor;
};

/// Every weight that the architecture has, in stored order.
std::vector<WeightShape> weight_shapes(const Architecture& architecture);
/// The same with the model's tensors.
std::vector<NamedWeight> named_weights(const Model& model);
/// The same to be filled or replaced.
std::vector<WeightSlot> weight_slots(Model& model);

/// The tensors that a module uses; those of a tied head are the token embedding's.
inline const Parameters& parameters_of(const Model& model, ModuleId id) {
  return model.weights[owner_of(model.architecture, id)];
}
inline Parameters& parameters_of(Model& model, ModuleId id) { return model.weights[owner_of(model.architecture, id)]; }

/// The projection from what the head's transform makes to logits: the untied output, the tied embedding with the
/// output's bias, or the score head.
Linear head_linear(const Model& model);

}  // namespace attribution
