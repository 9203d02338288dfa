// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/pod_index.h"

namespace dp::core {

PodIndex::PodIndex(std::span<const PodDevices> listed) {
  for (const PodDevices& entry : listed) {
    for (const std::string& device : entry.devices) by_device_.emplace(device, &entry);
  }
}

std::set<PodName> PodIndex::HoldersOf(const std::string& resource,
                                      const std::string& device) const {
  std::set<PodName> holders;
  const auto [first, last] = by_device_.equal_range(device);
  for (auto entry = first; entry != last; ++entry) {
    if (resource.empty() || entry->second->resource == resource) holders.insert(entry->second->pod);
  }
  return holders;
}

std::set<PodName> PodIndex::HoldersOf(const Allocation& allocation) const {
  std::set<PodName> holders;
  for (const Holding& holding : allocation.holdings) {
    holders.merge(HoldersOf(allocation.resource, holding.device));
  }
  return holders;
}

}  // namespace dp::core
