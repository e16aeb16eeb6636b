// The pool keeps its budget, and tensors outlive it.
#include "model/memory/tensor_pool.h"

#include <ATen/ATen.h>

#include "harness.h"

using attribution::pool_use;
using attribution::TensorPool;

namespace {

constexpr size_t megabyte = size_t{1} << 20;

at::Tensor megabytes(int64_t count) { return at::ones({count << 18}); }

}  // namespace

TEST(a_freed_tensors_memory_serves_the_next_of_its_size) {
  const TensorPool pool(8 * megabyte);
  const void* const first = megabytes(2).data_ptr();
  CHECK_EQUAL(pool_use().kept, 2 * megabyte);
  const at::Tensor second = megabytes(2);
  CHECK(second.data_ptr() == first);
  CHECK_EQUAL(pool_use().kept, 0u);
  CHECK_EQUAL(pool_use().used, 2 * megabyte);
}

TEST(tensors_and_what_is_kept_stay_within_the_budget) {
  const TensorPool pool(8 * megabyte);
  const at::Tensor held = megabytes(3);
  for (int64_t size = 1; size <= 5; ++size) {
    const at::Tensor passing = megabytes(size);
    CHECK(pool_use().used + pool_use().kept <= 8 * megabyte);
  }
  CHECK(pool_use().used + pool_use().kept <= 8 * megabyte);
  CHECK_EQUAL(pool_use().used, 3 * megabyte);
}

TEST(beyond_the_budget_nothing_is_kept_and_nothing_is_refused) {
  const TensorPool pool(2 * megabyte);
  const at::Tensor large = megabytes(5);
  CHECK_EQUAL(pool_use().used, 5 * megabyte);
  { const at::Tensor more = megabytes(1); }
  CHECK_EQUAL(pool_use().kept, 0u);
}

TEST(a_tensor_outlives_the_pool_whose_end_gives_back_what_is_more_than_the_next_job_gets) {
  at::Tensor held;
  {
    const TensorPool pool(256 * megabyte);
    held = megabytes(1);
    { const at::Tensor large = megabytes(160), small = megabytes(2); }
    CHECK(pool_use().kept >= 162 * megabyte);
  }
  CHECK(pool_use().kept <= 128 * megabyte);
  CHECK_EQUAL(held.sum().item<float>(), static_cast<float>(1 << 18));
  held = at::Tensor();
  CHECK_EQUAL(pool_use().used, 0u);
  CHECK_EQUAL(megabytes(1).numel(), 1 << 18);  // libtorch's own again
  CHECK_EQUAL(pool_use().used, 0u);
}
