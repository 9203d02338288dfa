// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/preferred_allocation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <string_view>
#include <tuple>
#include <unordered_set>
#include <utility>

namespace dp::core {
namespace {

using IdSet = std::unordered_set<std::string_view>;
// Devices without a node form one of their own, behind all others.
constexpr int kNoNode = std::numeric_limits<int>::max();

int NodeOf(const Offer& offer) { return offer.numa_node.value_or(kNoNode); }

struct Node {
  std::vector<const Offer*> free;  // in the order of the offers
  std::size_t included = 0;        // devices of must_include
};
using Nodes = std::map<int, Node>;

// Whether `a` is the better node to take `wanted` more devices from.
bool Better(const Nodes::value_type& a, const Nodes::value_type& b, std::size_t wanted) {
  const auto rank = [wanted](const Nodes::value_type& entry) {
    const auto& [number, node] = entry;
    const bool holds_all = node.free.size() >= wanted;
    // Smaller is better: the tightest of those that hold all, else the largest, to touch few nodes.
    const std::size_t fit = holds_all ? node.free.size() : SIZE_MAX - node.free.size();
    return std::tuple(number == kNoNode, SIZE_MAX - node.included, !holds_all, fit, number);
  };
  return rank(a) < rank(b);
}

absl::Status CheckRequest(const IdSet& available, std::span<const std::string> must_include,
                          int size) {
  if (size <= 0) {
    return absl::InvalidArgumentError(
        fmt::format("the allocation size is {}; it must be positive", size));
  }
  if (must_include.size() > static_cast<std::size_t>(size)) {
    return absl::InvalidArgumentError(fmt::format(
        "{} devices must be included in an allocation of {}", must_include.size(), size));
  }
  IdSet seen;
  for (const std::string& id : must_include) {
    if (!available.contains(id)) {
      return absl::InvalidArgumentError(
          fmt::format("device {} must be included but is not available", id));
    }
    if (!seen.insert(id).second) {
      return absl::InvalidArgumentError(fmt::format("device {} must be included twice", id));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> PreferDevices(std::span<const Offer> offers,
                                                       std::span<const std::string> available,
                                                       std::span<const std::string> must_include,
                                                       int size) {
  const IdSet available_ids(available.begin(), available.end());
  if (absl::Status status = CheckRequest(available_ids, must_include, size); !status.ok()) {
    return status;
  }
  const IdSet included_ids(must_include.begin(), must_include.end());
  Nodes nodes;
  std::vector<std::string> chosen;
  chosen.reserve(static_cast<std::size_t>(size));
  for (const Offer& offer : offers) {
    if (included_ids.contains(offer.id)) {
      chosen.push_back(offer.id);
      ++nodes[NodeOf(offer)].included;
    } else if (available_ids.contains(offer.id)) {
      nodes[NodeOf(offer)].free.push_back(&offer);
    }
  }
  while (chosen.size() < static_cast<std::size_t>(size) && !nodes.empty()) {
    const std::size_t wanted = static_cast<std::size_t>(size) - chosen.size();
    const auto best =
        std::min_element(nodes.begin(), nodes.end(),
                         [wanted](const auto& a, const auto& b) { return Better(a, b, wanted); });
    const auto& free = best->second.free;
    for (std::size_t i = 0; i < std::min(wanted, free.size()); ++i) chosen.push_back(free[i]->id);
    nodes.erase(best);
  }
  if (chosen.size() < static_cast<std::size_t>(size)) {
    return absl::InvalidArgumentError(fmt::format(
        "{} devices are asked for, and {} of those available are known", size, chosen.size()));
  }
  return chosen;
}

}  // namespace dp::core
