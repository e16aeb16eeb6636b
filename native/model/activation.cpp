#include "model/activation.h"

#include "core/error.h"

namespace attribution {

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::relu:
      return at::relu(x);
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::quick_gelu:
      return x * at::sigmoid(x * 1.702);
    case Activation::silu:
      return at::silu(x);
    case Activation::squared_relu:
      return at::relu(x).square();
    case Activation::tanh:
      return at::tanh(x);
  }
  fail(Code::unsupported, "Unknown activation");
}

}  // namespace attribution
