// Reads stored tensors as weights: of the architecture's shapes and finite, each file mapped once.
#pragma once
#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/weights.h"
#include "storage/tensor_reader.h"

namespace attribution {

struct WeightSource : StoredTensor {
  std::string weight;  // our name
  std::string file;
};

class WeightReader {
 public:
  /// The tensor as the weight `expected`; refuses another shape and values that are not finite.
  at::Tensor read(const WeightSource& source, const WeightShape& expected, at::ScalarType dtype);
  /// The files that were read.
  std::vector<std::weak_ptr<const MappedFile>> files() const;

 private:
  std::map<std::string, std::shared_ptr<MappedFile>> open_;
};

}  // namespace attribution
