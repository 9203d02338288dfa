// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/core/ledger.h"
#include "plugin/core/ports.h"

namespace dp::core {

// What the kubelet said at one moment, by device. Refers to what it was made of.
class PodIndex {
 public:
  explicit PodIndex(std::span<const PodDevices> listed);

  // The pods that hold the device of this resource; of any resource, if that is empty. More than
  // one: a kubelet before 1.34 lists pods that have finished.
  [[nodiscard]] std::set<PodName> HoldersOf(const std::string& resource,
                                            const std::string& device) const;
  // Those of the devices of an allocation, together.
  [[nodiscard]] std::set<PodName> HoldersOf(const Allocation& allocation) const;

 private:
  std::multimap<std::string_view, const PodDevices*> by_device_;
};

}  // namespace dp::core
