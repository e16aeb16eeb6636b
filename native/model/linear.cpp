#include "model/linear.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/error.h"

namespace attribution {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using PointwiseLinear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                   c10::string_view, c10::List<std::optional<at::Scalar>>,
                                   std::optional<c10::string_view>);

/// oneDNN's linear where this libtorch has it.
const std::optional<c10::TypedOperatorHandle<PointwiseLinear>>& onednn_linear() {
  static const auto found = []() -> std::optional<c10::TypedOperatorHandle<PointwiseLinear>> {
    const auto schema = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!schema) return std::nullopt;
    try {
      return schema->typed<PointwiseLinear>();
    } catch (const std::exception&) {
      return std::nullopt;  // another signature in another libtorch: at::linear is as right
    }
  }();
  return found;
}

/// Rows from which on MKL is the faster by any matrix: 200 against 180 Gflop/s at 1,024 rows, level at 240.
constexpr int64_t many_rows = 240;

/// By a transposed matrix (a backward's), MKL multiplies up to twice as fast as oneDNN on the processors it is made
/// for.
bool blas_is_faster(const at::Tensor& a, const at::Tensor& b) {
#if defined(__x86_64__)
  static const bool intel = __builtin_cpu_is("intel");
  return intel && b.scalar_type() == at::kFloat &&
         (a.size(0) >= many_rows || (!b.is_contiguous() && b.t().is_contiguous()));
#else
  return false;
#endif
}

/// Whether oneDNN multiplies this type here: its bfloat16 products need AVX-512 (BW, VL, DQ), else it refuses them.
bool onednn_multiplies(at::ScalarType type) {
#if defined(__x86_64__)
  static const bool has_bfloat16 =
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
  static const bool has_bfloat16 = false;
#endif
  return type == at::kFloat || (type == at::kBFloat16 && has_bfloat16);
}

bool fast(const at::Tensor& a, const at::Tensor& b) {
  return a.device().is_cpu() && onednn_multiplies(a.scalar_type()) && a.scalar_type() == b.scalar_type() &&
         a.numel() > 0 && b.numel() > 0 && onednn_linear().has_value() && !blas_is_faster(a, b);
}

/// Floating point operations from which on a product is split over threads. Below, two threads that meet at its end
/// cost more than half of its 20 µs, and on a busy machine one of them waits for a processor.
constexpr int64_t split_from = 1 << 20;

/// While it lives, small work runs on the calling thread alone.
class WorkThreads {
 public:
  explicit WorkThreads(int64_t operations) : threads_(at::get_num_threads()), small_(operations < split_from) {
    if (small_ && threads_ > 1) at::set_num_threads(1);
  }
  ~WorkThreads() {
    if (small_ && threads_ > 1) at::set_num_threads(threads_);
  }
  WorkThreads(const WorkThreads&) = delete;
  WorkThreads& operator=(const WorkThreads&) = delete;

 private:
  const int threads_;
  const bool small_;
};

/// Operations of a [row, in] times a transposed [out, in].
int64_t operations(const at::Tensor& a, const at::Tensor& b) { return 2 * a.numel() * b.size(0); }

struct FastLinear : torch::autograd::Function<FastLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& matrix,
                            const std::optional<at::Tensor>& bias) {
    const bool weights = matrix.requires_grad();
    context->save_for_backward({weights ? input : at::Tensor(), matrix});
    context->saved_data["bias"] = bias && bias->requires_grad();
    return product(input, matrix, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    // In a backward that makes a graph: the products below would be missing from it.
    if (at::GradMode::is_enabled()) fail(Code::native, "The fast linear product can be differentiated once only");
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& g = gradients[0];
    at::Tensor input, matrix, bias;
    if (context->needs_input_grad(0)) input = product(g, saved[1].t());
    if (context->needs_input_grad(1)) matrix = product(g.t(), saved[0].t());
    if (context->saved_data["bias"].toBool()) bias = g.sum(0);
    return {input, matrix, bias};
  }
};

}  // namespace

at::Tensor wide(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

at::Tensor product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias) {
  const WorkThreads threads(operations(a, b));
  if (!fast(a, b)) return at::linear(a, b, bias);
  const std::optional<at::Tensor> added = bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt;
  return onednn_linear()->call(a, b, added, "none", c10::List<std::optional<at::Scalar>>(), std::string_view(""));
}

at::Tensor apply(const Linear& linear, const at::Tensor& input, bool twice_differentiable) {
  const at::Tensor matrix = linear.matrix();
  if (twice_differentiable || !fast(input, matrix)) {
    const WorkThreads threads(operations(input, matrix));
    return at::linear(input, matrix, linear.bias);
  }
  const bool graph = at::GradMode::is_enabled() && (input.requires_grad() || matrix.requires_grad() ||
                                                    (linear.bias.defined() && linear.bias.requires_grad()));
  if (!graph) return product(input, matrix, linear.bias);
  // A missing bias is none, not an undefined tensor: apply() asks each tensor for its device.
  return FastLinear::apply(input, matrix,
                           linear.bias.defined() ? std::optional<at::Tensor>(linear.bias) : std::nullopt);
}

}  // namespace attribution
