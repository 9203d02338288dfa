// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/release.h"

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

}  // namespace dp::core
