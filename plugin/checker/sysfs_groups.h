// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "plugin/core/inventory.h"
#include "plugin/core/pci_address.h"
#include "plugin/sysfs/sysfs_root.h"

namespace dp::checker {

// Reads the IOMMU group of a PCI function, as FindGroup wants it: the function's link to it, then
// the group as a whole. `root` may be shared by threads.
absl::StatusOr<core::Group> ReadGroupOf(const sysfs::SysfsRoot& root, core::PciAddress address);

}  // namespace dp::checker
