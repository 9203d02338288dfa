// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_host.h"

#include <fmt/format.h>

#include <algorithm>

#include "plugin/core/pci_address.h"

namespace dp::fakes {

core::Function NvmeFunction(const std::string& address, const std::string& driver) {
  core::Function function;
  function.name = address;
  function.pci = core::PciIdentity{.address = core::ParsePciAddress(address).value(),
                                   .vendor = 0x1b36,
                                   .device = 0x0010,
                                   .subsystem_vendor = 0x1af4,
                                   .subsystem_device = 0x1100,
                                   .class_code = 0x010802};
  function.driver = driver;
  return function;
}

core::Group GroupOf(std::uint32_t number, std::vector<core::Function> functions) {
  core::Group group;
  group.number = number;
  group.functions = std::move(functions);
  group.knob = core::Knob::kPresent;
  group.window = core::kFixedWindow;
  return group;
}

void FakeHost::RemoveGroup(std::uint32_t number) {
  std::erase_if(inventory.groups,
                [number](const core::Group& group) { return group.number == number; });
}

core::Group* FakeHost::Find(std::uint32_t number) {
  const auto found =
      std::find_if(inventory.groups.begin(), inventory.groups.end(),
                   [number](const core::Group& group) { return group.number == number; });
  return found == inventory.groups.end() ? nullptr : &*found;
}

absl::StatusOr<core::Inventory> FakeHost::Scan() {
  if (!scan_status.ok()) return scan_status;
  return inventory;
}

absl::StatusOr<core::Group> FakeHost::ScanGroup(std::uint32_t number) {
  if (!group_status.ok()) return group_status;
  const core::Group* group = Find(number);
  if (group == nullptr) return absl::NotFoundError(fmt::format("no IOMMU group {}", number));
  return *group;
}

}  // namespace dp::fakes
