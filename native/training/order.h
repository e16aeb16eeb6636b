// Which instances make each batch of an epoch.
#pragma once
#include <cstdint>
#include <random>
#include <vector>

#include "model/batch.h"

namespace attribution {

/// length_sorted: batches of like lengths, in a random order; shuffled: all at random; given: as they come.
enum class Order { length_sorted, shuffled, given };

std::vector<std::vector<int64_t>> epoch_batches(const Instances& instances, Order order, int64_t batch_size,
                                                std::mt19937_64& engine);

/// A seeded shuffle that is the same on every machine.
template <typename T>
void shuffle(std::vector<T>& values, std::mt19937_64& engine) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[engine() % i]);
}

}  // namespace attribution
