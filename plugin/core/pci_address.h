// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dp::core {

// Domain, bus, device and function of a PCI function. Domains are wider than 16 bits on hosts with
// VMD.
struct PciAddress {
  std::uint32_t domain = 0;
  std::uint8_t bus = 0;
  std::uint8_t slot = 0;
  std::uint8_t function = 0;

  // Topological order; it is also the order of FormatPciAddress() texts with equally wide domains.
  friend auto operator<=>(const PciAddress&, const PciAddress&) = default;
};

// "0000:01:00.0": at least four digits of domain, as in /sys/bus/pci/devices.
std::string FormatPciAddress(PciAddress address);
// InvalidArgument: not of that form (the short form without a domain included), or a number out of
// range.
absl::StatusOr<PciAddress> ParsePciAddress(std::string_view text);

}  // namespace dp::core
