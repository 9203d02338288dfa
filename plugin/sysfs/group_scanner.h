// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/inventory.h"
#include "plugin/core/ports.h"
#include "plugin/sysfs/sysfs_root.h"

namespace dp::sysfs {

// Reads the IOMMU groups of the host and all their members, of whatever bus.
//
// A group is reported whole or not at all: if any member or attribute of it cannot be read or makes
// no sense, the group goes into Inventory::skipped with the first thing that was wrong. A group
// with a member left out could look safe to hand out when it is not.
class GroupScanner final : public core::HostScanner {
 public:
  // `root` must outlive the scanner.
  explicit GroupScanner(const SysfsRoot& root) : root_(root) {}

  absl::StatusOr<core::Inventory> Scan() override;
  absl::StatusOr<core::Group> ScanGroup(std::uint32_t number) override;
  std::vector<core::Function> ScanUngrouped() override;

 private:
  const SysfsRoot& root_;
};

}  // namespace dp::sysfs
