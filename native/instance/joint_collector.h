// Keeps the best units of each pair and the sums of all units over a source's pairs, from parts that come some at a
// time.
#pragma once
#include <map>

#include "instance/breakdown.h"
#include "instance/joint_units.h"

namespace attribution {

struct JointRequest {
  BreakdownPairs pairs;    // no pair twice
  int64_t kept = 10;       // units of each pair
  int64_t only = -1;       // this unit of each pair instead of the largest
  bool sums_only = false;  // of all pairs of sources and targets; `pairs` is not read
};

struct Joint {
  at::Tensor scores, others, rest;  // [pair] double: parts, the units that are not kept and the rest sum to the score
  at::Tensor indices, parts;        // [pair, kept] int32, double: units of the largest magnitude first, ties by index
  at::Tensor sums, rest_sums;       // [source, unit], [source] double: over the source's pairs
};

class JointCollector {
 public:
  JointCollector(const JointRequest& request, int64_t sources, int64_t targets, int64_t units);

  /// Targets of `members`, by their indices there, under the list of those of the sources that they make pairs with.
  std::map<std::vector<int64_t>, std::vector<int64_t>> groups(const std::vector<int64_t>& members,
                                                              const std::vector<int64_t>& sources) const;
  /// Parts [source, target, unit] of pairs that are all asked for.
  void add(const std::vector<int64_t>& sources, const std::vector<int64_t>& targets, const UnitParts& parts);
  /// Only to the sums.
  void add_sums(const std::vector<int64_t>& sources, const UnitParts& parts);

  const Joint& joint() const { return joint_; }
  int64_t pairs() const { return joint_.scores.size(0); }

 private:
  void put(int64_t pair, const double* parts, int64_t width, double rest);

  std::map<int64_t, std::map<int64_t, int64_t>> indices_;  // of a pair, by its target and its source
  int64_t kept_, only_;
  Joint joint_;
};

}  // namespace attribution
