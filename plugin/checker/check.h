// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/core/inventory.h"
#include "plugin/core/pci_address.h"
#include "plugin/core/window.h"
#include "plugin/domain/domain.h"
#include "plugin/guest/memory_map.h"

namespace dp::checker {

// The IOMMU group of a PCI function, with the function in it, read afresh. May be called on any
// thread. FailedPrecondition: the host does not say; one sentence without the function.
using FindGroup = std::function<absl::StatusOr<core::Group>(core::PciAddress)>;

// A device that a domain is given.
struct Device {
  core::PciAddress address;
  std::uint32_t group = 0;
  std::optional<core::Window> window;  // in force; none: its group has none
};

// What speaks for a domain.
struct Report {
  // Empty: not known. Up to the end of all addresses, RAM: it cannot be told where that ends.
  std::vector<guest::Range> map;
  std::vector<Device> devices;
  std::vector<std::string> warnings;  // what does not hinder it, one sentence each
};

// Whether the guest can start with the windows that its devices have in force, and get its
// interrupts. A domain without PCI functions of the host always can, and so can one whose functions
// have no window. FailedPrecondition: it cannot, or nobody can tell; one sentence that names device
// and window, or the line of the domain.
absl::StatusOr<Report> Check(const domain::Domain& domain, const FindGroup& find_group);

// The same of a document. InvalidArgument: it is no domain (domain::ParseDomain()).
absl::StatusOr<Report> CheckXml(std::string_view xml, const FindGroup& find_group);

}  // namespace dp::checker
