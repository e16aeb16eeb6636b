#include "instance/joint_collector.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace attribution {
namespace {

/// The places of the `kept` largest magnitudes, largest first, ties by index.
std::vector<int32_t> largest(const double* parts, int64_t count, int64_t kept) {
  const auto before = [parts](int32_t a, int32_t b) {
    const double left = std::abs(parts[a]), right = std::abs(parts[b]);
    return left > right || (left == right && a < b);
  };
  std::vector<int32_t> heap;  // its front ranks last
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<int32_t>(i);
    const bool full = static_cast<int64_t>(heap.size()) == kept;
    if (full && (kept == 0 || !before(at, heap.front()))) continue;
    if (full) {
      std::pop_heap(heap.begin(), heap.end(), before);
      heap.back() = at;
    } else {
      heap.push_back(at);
    }
    std::push_heap(heap.begin(), heap.end(), before);
  }
  std::sort_heap(heap.begin(), heap.end(), before);
  return heap;
}

}  // namespace

JointCollector::JointCollector(const JointRequest& r, int64_t sources, int64_t targets, int64_t units)
    : kept_(r.only < 0 ? std::min(r.kept, units) : 1), only_(r.only) {
  const BreakdownPairs& p = r.pairs;
  if (r.only >= units) fail(Code::invalid, "Unit ", r.only, " has no weights among the parameters");
  if (!r.sums_only && (p.sources.size() != p.targets.size() || p.sources.empty()))
    fail(Code::invalid, "Expected as many sources as targets, at least one");
  for (size_t i = 0; !r.sums_only && i < p.sources.size(); ++i) {
    if (p.sources[i] < 0 || p.sources[i] >= sources || p.targets[i] < 0 || p.targets[i] >= targets)
      fail(Code::invalid, "Pair ", i, " is of instances that are not there");
    if (!indices_[p.targets[i]].emplace(p.sources[i], static_cast<int64_t>(i)).second)
      fail(Code::invalid, "Pair ", i, " is there twice");
  }
  const auto count = r.sums_only ? int64_t{0} : static_cast<int64_t>(p.sources.size());
  for (at::Tensor* t : {&joint_.scores, &joint_.others, &joint_.rest}) *t = at::zeros({count}, at::kDouble);
  joint_.indices = at::zeros({count, kept_}, at::kInt);
  joint_.parts = at::zeros({count, kept_}, at::kDouble);
  joint_.sums = at::zeros({sources, units}, at::kDouble);
  joint_.rest_sums = at::zeros({sources}, at::kDouble);
}

std::map<std::vector<int64_t>, std::vector<int64_t>> JointCollector::groups(const std::vector<int64_t>& members,
                                                                            const std::vector<int64_t>& sources) const {
  std::map<std::vector<int64_t>, std::vector<int64_t>> found;
  for (size_t i = 0; i < members.size(); ++i) {
    const auto at = indices_.find(members[i]);
    if (at == indices_.end()) continue;
    std::vector<int64_t> own;
    for (const int64_t s : sources) {
      if (at->second.contains(s)) own.push_back(s);
    }
    if (!own.empty()) found[own].push_back(static_cast<int64_t>(i));
  }
  return found;
}

void JointCollector::add_sums(const std::vector<int64_t>& sources, const UnitParts& parts) {
  const at::Tensor rows = at::tensor(sources, at::kLong);
  joint_.sums.index_add_(0, rows, parts.units.sum(1, false, at::kDouble).cpu());
  joint_.rest_sums.index_add_(0, rows, parts.rest.sum(1, false, at::kDouble).cpu());
}

void JointCollector::add(const std::vector<int64_t>& sources, const std::vector<int64_t>& targets,
                         const UnitParts& parts) {
  add_sums(sources, parts);
  const at::Tensor units = parts.units.cpu().to(at::kDouble).contiguous(), rest = parts.rest.cpu().to(at::kDouble);
  const auto width = units.size(2), columns = static_cast<int64_t>(targets.size());
  const double* values = units.const_data_ptr<double>();
  at::parallel_for(0, static_cast<int64_t>(sources.size()) * columns, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t s = i / columns, z = i % columns;
      put(indices_.at(targets[static_cast<size_t>(z)]).at(sources[static_cast<size_t>(s)]), values + i * width, width,
          rest.const_data_ptr<double>()[s * columns + z]);
    }
  });
}

void JointCollector::put(int64_t pair, const double* parts, int64_t width, double rest) {
  const double units = std::accumulate(parts, parts + width, 0.0);
  double others = units;
  const auto best = only_ < 0 ? largest(parts, width, kept_) : std::vector<int32_t>{static_cast<int32_t>(only_)};
  for (size_t k = 0; k < best.size(); ++k) {
    joint_.indices.mutable_data_ptr<int32_t>()[pair * kept_ + static_cast<int64_t>(k)] = best[k];
    joint_.parts.mutable_data_ptr<double>()[pair * kept_ + static_cast<int64_t>(k)] = parts[best[k]];
    others -= parts[best[k]];
  }
  joint_.others.mutable_data_ptr<double>()[pair] = others;
  joint_.rest.mutable_data_ptr<double>()[pair] = rest;
  joint_.scores.mutable_data_ptr<double>()[pair] = units + rest;
}

}  // namespace attribution
