// SPDX-License-Identifier: Apache-2.0
#include "plugin/checker/sysfs_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "plugin/base/parse.h"
#include "plugin/base/status_macros.h"
#include "plugin/sysfs/group_scanner.h"

namespace dp::checker {
namespace {

absl::Status Refuse(const std::string& path, const std::string& why) {
  return absl::FailedPreconditionError(fmt::format("{} {}", path, why));
}

// The number at the end of the link (Documentation/ABI/testing/sysfs-kernel-iommu_groups).
absl::StatusOr<std::uint32_t> NumberOf(const sysfs::SysfsRoot& root, const std::string& path) {
  const auto device = root.directory().Follow(path.c_str());
  if (absl::IsNotFound(device.status()))
    return Refuse(root.PathOf(path), "does not exist: this host has no such function");
  if (!device.ok()) return Refuse(root.PathOf(path), std::string(device.status().message()));
  const std::string link = path + "/iommu_group";
  const auto target = device->ReadLink("iommu_group");
  if (absl::IsNotFound(target.status()))
    return Refuse(root.PathOf(link), "does not exist: the function is in no IOMMU group");
  if (!target.ok()) return Refuse(root.PathOf(link), std::string(target.status().message()));
  const auto number = base::ParseDecimal<std::uint32_t>(
      std::string_view(*target).substr(target->find_last_of('/') + 1));
  if (!number) return Refuse(root.PathOf(link), "does not lead to an IOMMU group");
  return *number;
}

}  // namespace

absl::StatusOr<core::Group> ReadGroupOf(const sysfs::SysfsRoot& root, core::PciAddress address) {
  const std::string path = "bus/pci/devices/" + core::FormatPciAddress(address);
  ASSIGN_OR_RETURN(const std::uint32_t number, NumberOf(root, path));
  auto group = sysfs::GroupScanner(root).ScanGroup(number);
  if (!group.ok()) return absl::FailedPreconditionError(std::string(group.status().message()));
  const bool is_member = std::any_of(group->functions.begin(), group->functions.end(),
                                     [address](const core::Function& function) {
                                       return function.pci && function.pci->address == address;
                                     });
  if (!is_member)
    return Refuse(root.PathOf(path), fmt::format("is not a member of its IOMMU group {}", number));
  return group;
}

}  // namespace dp::checker
