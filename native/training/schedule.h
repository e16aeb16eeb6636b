// Learning-rate schedules: a linear warm-up, then constant or linear down to 0.
#pragma once
#include <cstdint>

namespace attribution {

enum class Schedule { linear, constant };

/// Factor of the learning rate in the 0-based step.
double schedule_factor(Schedule schedule, int64_t step, int64_t warmup, int64_t total);

}  // namespace attribution
