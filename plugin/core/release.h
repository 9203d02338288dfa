// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "plugin/core/config.h"
#include "plugin/core/driver_change.h"
#include "plugin/core/driver_record.h"
#include "plugin/core/inventory.h"
#include "plugin/core/ports.h"
#include "plugin/core/window.h"

namespace dp::core {

// A group whose window lay in the pool.
struct ReleasedGroup {
  std::string device;  // ID as advertised; empty: a group without PCI functions
  std::uint32_t group = 0;
  Window window;        // the one it had
  absl::Status status;  // Ok: back to default. Unavailable: a VMM owns the group. Else the knob's.
};

// Puts every group whose window lies in the pool back to default, whoever wrote it: what the daemon
// leaves behind when it is uninstalled. The kernel refuses for those that a VMM owns.
std::vector<ReleasedGroup> ReleaseAll(const Inventory& inventory, const Pool& pool,
                                      MsiWindowKnob& knob);

// Functions of one group, or one without a group, that were bound.
struct ReleasedDrivers {
  std::vector<DriverState> former;
  DriverChange change;
};

// Gives the functions of the record that are on the host the drivers they had. What is left in the
// record is for those that have not got them. Blocks.
std::vector<ReleasedDrivers> ReleaseDrivers(const Inventory& inventory, PciDrivers& drivers,
                                            DriverRecord& record);

}  // namespace dp::core
