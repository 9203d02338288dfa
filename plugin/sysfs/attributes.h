// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/inventory.h"
#include "plugin/core/window.h"

// What the bytes of sysfs attributes mean. Pure functions: no file is opened here, and any input is
// answered.
//
// Every text is a whole attribute and ends with a newline, as the kernel writes it; one that does
// not is refused as cut off. Errors are InvalidArgument, and the message is a clause that follows a
// path: "has no line PCI_ID=VVVV:DDDD".
namespace dp::sysfs {

// The attribute `uevent` of a device (Documentation/ABI/testing/sysfs-uevent): lines KEY=VALUE, of
// which these are used.
struct Uevent {
  std::string_view driver;  // refers to the parsed text; empty: no driver bound
  // The PCI_* lines, which every PCI function has (pci_uevent() in drivers/pci/pci-driver.c); the
  // address is not among them.
  std::optional<core::PciIdentity> pci;
};
absl::StatusOr<Uevent> ParseUevent(std::string_view text);

// The attribute `reserved_regions` of a group: lines "0xFIRST 0xLAST type", none at all included.
// The kernel calls both kinds of MSI regions "msi"; the one that equals `software_window` is the
// software-managed one, any other is hardware's.
absl::StatusOr<std::vector<core::ReservedRegion>> ParseReservedRegions(
    std::string_view text, std::optional<core::Window> software_window);

// The attribute `numa_node` of a device; -1 is none.
absl::StatusOr<std::optional<int>> ParseNumaNode(std::string_view text);

// The attribute `msi_window` of a group; "none" (the group has no software-managed window) is none.
absl::StatusOr<std::optional<core::Window>> ParseMsiWindow(std::string_view text);

// Whether an entry of a device's directory vfio-dev is the name of a VFIO character device: "vfio"
// and a number.
bool IsVfioCdevName(std::string_view name);

}  // namespace dp::sysfs
