// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "plugin/core/inventory.h"
#include "plugin/core/ports.h"

namespace dp::fakes {

// A PCI function with an NVMe controller's identity, on vfio-pci and without a NUMA node.
core::Function NvmeFunction(const std::string& address, const std::string& driver = "vfio-pci");
// With the knob, and the fixed window in force.
core::Group GroupOf(std::uint32_t number, std::vector<core::Function> functions);

// A host in memory, which a test changes as it likes.
class FakeHost final : public core::HostScanner {
 public:
  core::Inventory inventory;
  std::vector<core::Function> ungrouped;
  absl::Status scan_status;   // what Scan() fails with
  absl::Status group_status;  // what ScanGroup() fails with

  void AddGroup(core::Group group) { inventory.groups.push_back(std::move(group)); }
  void RemoveGroup(std::uint32_t number);
  // Null: there is none.
  core::Group* Find(std::uint32_t number);

  absl::StatusOr<core::Inventory> Scan() override;
  absl::StatusOr<core::Group> ScanGroup(std::uint32_t number) override;
  std::vector<core::Function> ScanUngrouped() override { return ungrouped; }
};

}  // namespace dp::fakes
