// The fast linear product and its derivatives, schedules, orders of batches, and the engine's queue.
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <condition_variable>
#include <mutex>
#include <set>

#include "engine/engine.h"
#include "harness.h"
#include "model/linear.h"
#include "samples.h"
#include "training/optimizer.h"
#include "training/order.h"
#include "training/schedule.h"

namespace attribution::test {

constexpr double single_rounding = 2e-5;  // sums of 40 products of numbers near 1 in float32, in another order

struct Product {
  Linear linear;
  at::Tensor input;

  explicit Product(bool bias, bool transposed, at::ScalarType dtype = at::kFloat) {
    at::Generator generator = at::detail::createCPUGenerator(3);
    const auto random = [&](at::IntArrayRef shape) {
      return at::empty(shape, at::kFloat).normal_(0, 1, generator).to(dtype);
    };
    linear.weight = transposed ? random({40, 6}) : random({6, 40});
    linear.transposed = transposed;
    if (bias) linear.bias = random({6});
    input = random({9, 40});
  }

  /// Output, and gradients by input, weight and bias, of Σ output².
  std::vector<at::Tensor> derived(bool reference) {
    const at::AutoGradMode grad(true);
    std::vector<at::Tensor> leaves{input.detach().requires_grad_(true), linear.weight.detach().requires_grad_(true)};
    Linear own = linear;
    own.weight = leaves[1];
    if (own.bias.defined()) leaves.push_back(own.bias = own.bias.detach().requires_grad_(true));
    const at::Tensor output = reference ? at::linear(leaves[0], own.matrix(), own.bias) : apply(own, leaves[0]);
    auto all = torch::autograd::grad({output.square().sum()}, leaves);
    all.push_back(output.detach());
    return all;
  }
};

TEST(the_fast_linear_and_its_gradients_equal_libtorchs) {
  for (const bool bias : {true, false}) {
    for (const bool transposed : {true, false}) {
      Product p(bias, transposed);
      const auto fast = p.derived(false), reference = p.derived(true);
      CHECK_EQUAL(fast.size(), bias ? size_t{4} : size_t{3});
      for (size_t i = 0; i < fast.size(); ++i) {
        CHECK(fast[i].sizes() == reference[i].sizes());
        CHECK_CLOSE(largest_difference(fast[i], reference[i]) / reference[i].abs().max().item<double>(), 0,
                    single_rounding);
      }
    }
  }
}

TEST(the_fast_linear_takes_gradients_by_its_weight_alone_and_by_its_input_alone) {
  Product p(true, false);
  const at::AutoGradMode grad(true);
  const auto reference = p.derived(true);
  const at::Tensor input = p.input.detach().requires_grad_(true);
  CHECK_CLOSE(
      largest_difference(torch::autograd::grad({apply(p.linear, input).square().sum()}, {input})[0], reference[0]), 0,
      0.01);
  Linear own = p.linear;
  own.weight = own.weight.detach().requires_grad_(true);
  CHECK_CLOSE(
      largest_difference(torch::autograd::grad({apply(own, p.input).square().sum()}, {own.weight})[0], reference[1]), 0,
      0.01);
}

TEST(an_empty_product_and_one_in_another_type_take_the_plain_path) {
  Product p(true, false);
  CHECK(apply(p.linear, at::empty({0, 40})).sizes() == (at::IntArrayRef{0, 6}));
  Product wide(true, true, at::kDouble);
  CHECK_CLOSE(largest_difference(apply(wide.linear, wide.input),
                                 at::linear(wide.input, wide.linear.matrix(), wide.linear.bias)),
              0, 1e-12);
  Product half(true, false, at::kBFloat16);
  const at::Tensor exact =
      at::linear(half.input.to(at::kDouble), half.linear.weight.to(at::kDouble), half.linear.bias.to(at::kDouble));
  CHECK_CLOSE(largest_difference(apply(half.linear, half.input), exact) / exact.abs().max().item<double>(), 0,
              0.01);  // 8 bits
}

TEST(second_derivatives_exist_on_the_path_that_is_asked_for_them) {
  Product p(true, false);
  const at::AutoGradMode grad(true);
  const at::Tensor input = p.input.detach().requires_grad_(true);
  const auto second = [&](bool twice) {
    const at::Tensor first =
        torch::autograd::grad({apply(p.linear, input, twice).pow(3).sum()}, {input}, {}, true, true)[0];
    return torch::autograd::grad({first.sum()}, {input})[0];
  };
  const at::Tensor by_hand = [&] {
    const at::Tensor x = p.input.detach().requires_grad_(true);
    const at::Tensor first =
        torch::autograd::grad({at::linear(x, p.linear.weight, p.linear.bias).pow(3).sum()}, {x}, {}, true, true)[0];
    return torch::autograd::grad({first.sum()}, {x})[0];
  }();
  CHECK_CLOSE(largest_difference(second(true), by_hand) / by_hand.abs().max().item<double>(), 0, single_rounding);
  // The fast product has none: it says so instead of leaving them out.
  CHECK(THROWN(second(false)).find("differentiated once") != std::string::npos);
}

TEST(schedules_warm_up_and_fall_in_a_line) {
  const double linear[] = {0, 0.5, 1, 0.75, 0.5, 0.25};
  for (int64_t step = 0; step < 6; ++step) {
    CHECK_CLOSE(schedule_factor(Schedule::linear, step, 2, 6), linear[step], 1e-15);
    CHECK_CLOSE(schedule_factor(Schedule::constant, step, 2, 6), std::min(1.0, step / 2.0), 1e-15);
  }
  CHECK_CLOSE(schedule_factor(Schedule::linear, 0, 0, 4), 1, 0);
  CHECK_CLOSE(schedule_factor(Schedule::linear, 9, 9, 9), 0, 0);  // more warm-up than steps: no division by zero
}

TEST(an_epoch_holds_every_instance_once_in_any_order) {
  const Instances d = instances_of({3, 9, 3, 9, 3, 9, 3});
  for (const Order order : {Order::length_sorted, Order::shuffled, Order::given}) {
    std::mt19937_64 engine(5), again(5);
    const auto first = epoch_batches(d, order, 2, engine);
    CHECK(first == epoch_batches(d, order, 2, again));
    std::multiset<int64_t> seen;
    for (const auto& batch : first) seen.insert(batch.begin(), batch.end());
    CHECK(seen == (std::multiset<int64_t>{0, 1, 2, 3, 4, 5, 6}));
    CHECK_EQUAL(first.size(), size_t{4});
    if (order == Order::given) CHECK(first == epoch_batches(d, order, 2, engine));
  }
}

TEST(the_engine_runs_jobs_one_after_the_other_and_drops_ended_ones) {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int> ran;
  bool open = false, began = false;
  const auto job = [&](int number, bool waits) {
    auto made = std::make_shared<Job>();
    made->run = [&, number, waits](Job& self) {
      std::unique_lock lock(mutex);
      began = true;
      changed.notify_all();
      if (waits) changed.wait(lock, [&] { return open; });
      if (!self.cancelled) ran.push_back(number);
    };
    return made;
  };
  const auto first = job(1, true), second = job(2, false), third = job(3, false);
  Engine::instance().submit(first);
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return began; });
  }
  Engine::instance().submit(second);
  Engine::instance().submit(third);
  Engine::instance().end(second);  // waits in the queue: it never runs
  {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
  Engine::instance().end(first);
  for (bool done = false; !done; std::this_thread::yield()) {
    const std::lock_guard lock(mutex);
    done = !ran.empty() && ran.back() == 3;
  }
  CHECK(ran == (std::vector<int>{1, 3}) || ran == (std::vector<int>{3}));  // the first may have seen its cancellation
  Engine::instance().end(third);                                           // long finished: nothing happens
}

namespace {

constexpr double step_rounding = 1e-12;  // doubles, the same formula in another order

at::Tensor random_vector(uint64_t seed, double scale = 1) {
  return at::empty({50}, at::kDouble).normal_(0, scale, at::detail::createCPUGenerator(seed));
}

std::vector<OptimizerOptions> optimizers() {
  OptimizerOptions adam, decayed, sgd;
  adam.weight_decay = 0;
  decayed.weight_decay = 0.1;
  decayed.epsilon_root = 1e-4;
  decayed.beta1 = 0.8;
  sgd.optimizer = Optimizer::sgd;
  sgd.momentum = 0.9;
  return {adam, decayed, sgd};
}

TrainingState state_of(const OptimizerOptions& o) {
  const bool adam = o.optimizer == Optimizer::adamw;
  return {random_vector(1), random_vector(2, 0.1), adam ? random_vector(3, 0.1).square() : at::Tensor(), 4, {}};
}

}  // namespace

TEST(optimizer_steps_equal_libtorchs) {
  for (const OptimizerOptions& o : optimizers()) {
    if (o.epsilon_root > 0) continue;  // libtorch has none
    at::Tensor weight = random_vector(1).requires_grad_(true);
    std::unique_ptr<torch::optim::Optimizer> reference;
    if (o.optimizer == Optimizer::sgd) {
      reference = std::make_unique<torch::optim::SGD>(
          std::vector{weight}, torch::optim::SGDOptions(0.1).momentum(o.momentum).weight_decay(o.weight_decay));
    } else {
      reference = std::make_unique<torch::optim::AdamW>(std::vector{weight},
                                                        torch::optim::AdamWOptions(0.1).weight_decay(o.weight_decay));
    }
    TrainingState own{random_vector(1), at::zeros({50}, at::kDouble), at::zeros({50}, at::kDouble), 0, {}};
    for (uint64_t step = 0; step < 5; ++step) {
      weight.mutable_grad() = random_vector(10 + step);
      reference->step();
      optimizer_step(own, random_vector(10 + step), 0.1, o);
    }
    CHECK_CLOSE(largest_difference(weight, own.weights), 0, step_rounding);
  }
}

TEST(a_step_backwards_is_autograds) {
  for (const OptimizerOptions& o : optimizers()) {
    for (const double longest : {0.0, 1.0, 1000.0}) {
      const TrainingState before = state_of(o);
      const at::Tensor gradient = random_vector(5), along[] = {random_vector(6), random_vector(7), random_vector(8)};
      TrainingState leaves = before;
      std::vector<at::Tensor> inputs;
      for (at::Tensor* t : {&leaves.weights, &leaves.first, &leaves.second}) {
        if (t->defined()) inputs.push_back(*t = t->clone().requires_grad_(true));
      }
      inputs.push_back(gradient.clone().requires_grad_(true));
      const at::AutoGradMode grad(true);
      at::Tensor own = inputs.back();
      if (longest > 0) own = own * (longest / (at::linalg_vector_norm(own) + 1e-6)).clamp_max(1);
      at::Tensor sum;
      if (o.optimizer == Optimizer::sgd) {
        const at::Tensor first = o.momentum * leaves.first + own + o.weight_decay * leaves.weights;
        sum = ((leaves.weights - 0.1 * first) * along[0] + first * along[1]).sum();
      } else {
        const at::Tensor first = o.beta1 * leaves.first + (1 - o.beta1) * own,
                         second = o.beta2 * leaves.second + (1 - o.beta2) * own.square();
        const at::Tensor root = (second / (1 - std::pow(o.beta2, 5)) + o.epsilon_root).sqrt() + o.epsilon;
        const at::Tensor after =
            (1 - 0.1 * o.weight_decay) * leaves.weights - 0.1 * first / (1 - std::pow(o.beta1, 5)) / root;
        sum = (after * along[0] + first * along[1] + second * along[2]).sum();
      }
      const auto wanted = torch::autograd::grad({sum}, inputs);
      Adjoint adjoint{along[0].clone(), along[1].clone(), before.second.defined() ? along[2].clone() : at::Tensor()};
      const at::NoGradGuard no_grad;
      const at::Tensor by_clipped = step_backwards(adjoint, before, clipped(gradient, longest), 0.1, o);
      const at::Tensor by_gradient = clip_backwards(by_clipped, gradient, longest);
      CHECK_CLOSE(largest_difference(adjoint.weights, wanted[0]), 0, step_rounding);
      CHECK_CLOSE(largest_difference(adjoint.first, wanted[1]), 0, step_rounding);
      if (before.second.defined())
        CHECK_CLOSE(largest_difference(adjoint.second, wanted[2]) / wanted[2].abs().max().item<double>(), 0,
                    step_rounding);
      CHECK_CLOSE(largest_difference(by_gradient, wanted.back()) / wanted.back().abs().max().item<double>(), 0,
                  step_rounding);
    }
  }
}

}  // namespace attribution::test
