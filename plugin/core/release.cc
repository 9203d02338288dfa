// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/release.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "plugin/core/offers.h"
#include "plugin/core/window_pool.h"

namespace dp::core {

std::vector<ReleasedGroup> ReleaseAll(const Inventory& inventory, const Pool& pool,
                                      MsiWindowKnob& knob) {
  const WindowPool windows(pool);
  std::vector<ReleasedGroup> released;
  for (const Group& group : inventory.groups) {
    if (group.knob != Knob::kPresent || !group.window || !windows.Overlaps(*group.window)) continue;
    released.push_back({.device = DeviceIdOf(group),
                        .group = group.number,
                        .window = *group.window,
                        .status = knob.Reset(group.number)});
  }
  return released;
}

std::vector<ReleasedDrivers> ReleaseDrivers(const Inventory& inventory, PciDrivers& drivers,
                                            DriverRecord& record) {
  std::map<std::string_view, std::uint32_t> groups;  // by function
  for (const Group& group : inventory.groups) {
    for (const Function& function : group.functions) groups[function.name] = group.number;
  }
  std::map<std::uint32_t, std::vector<DriverState>> tasks;  // by group
  std::vector<ReleasedDrivers> released;
  for (DriverState& state : record.former) {
    if (const auto group = groups.find(state.address); group != groups.end()) {
      tasks[group->second].push_back(std::move(state));
    } else {
      released.push_back({.former = {state}, .change = RestoreFunctions(drivers, {}, {&state, 1})});
    }
  }
  for (auto& [group, former] : tasks) {
    DriverChange change = RestoreFunctions(drivers, group, former);
    released.push_back({.former = std::move(former), .change = std::move(change)});
  }
  record.former.clear();
  for (const ReleasedDrivers& group : released) {
    const std::vector<std::string>& stuck = group.change.stuck;
    for (const DriverState& state : group.former) {
      if (std::find(stuck.begin(), stuck.end(), state.address) != stuck.end())
        record.former.push_back(state);
    }
  }
  return released;
}

}  // namespace dp::core
