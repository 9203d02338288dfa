// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/window.h"
#include "plugin/guest/memory_map.h"

namespace dp::guest {

// A device of a virtual machine and the doorbell window that its IOMMU group has in force.
struct DeviceWindow {
  std::string device;  // as messages name it: "device 0000:01:00.0"
  core::Window window;
};

// Whether a virtual machine with these devices can start, and get its interrupts.
// `fixed` says why its windows must be the default one, as "the domain has an SMMUv3"; empty: they
// need not (core/grace.h). Returns what does not hinder it, one sentence each. FailedPrecondition:
// one sentence that names device, window and what is in its way.
absl::StatusOr<std::vector<std::string>> Examine(std::span<const Range> map,
                                                 std::span<const DeviceWindow> devices,
                                                 std::string_view fixed);

}  // namespace dp::guest
