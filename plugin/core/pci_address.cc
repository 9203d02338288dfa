// SPDX-License-Identifier: Apache-2.0
#include "plugin/core/pci_address.h"

#include <fmt/format.h>

#include <optional>

#include "plugin/base/parse.h"

namespace dp::core {
namespace {

constexpr std::uint64_t kLargestSlot = 0x1f;
constexpr std::uint64_t kLargestFunction = 7;

}  // namespace

std::string FormatPciAddress(PciAddress address) {
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", address.domain, address.bus, address.slot,
                     address.function);
}

// DDDD:BB:SS.F, where only the domain may be longer. Read from the end, which has fixed places.
absl::StatusOr<PciAddress> ParsePciAddress(std::string_view text) {
  constexpr std::size_t kTail = 8;  // ":BB:SS.F"
  constexpr std::size_t kShortestDomain = 4;
  if (text.size() >= kShortestDomain + kTail) {
    const std::string_view domain = text.substr(0, text.size() - kTail);
    const std::string_view tail = text.substr(text.size() - kTail);
    if (tail[0] == ':' && tail[3] == ':' && tail[6] == '.') {
      const auto d = base::ParseDigits(domain, 16, UINT32_MAX);
      const auto b = base::ParseDigits(tail.substr(1, 2), 16, UINT8_MAX);
      const auto s = base::ParseDigits(tail.substr(4, 2), 16, kLargestSlot);
      const auto f = base::ParseDigits(tail.substr(7, 1), 16, kLargestFunction);
      if (d && b && s && f) {
        return PciAddress{.domain = static_cast<std::uint32_t>(*d),
                          .bus = static_cast<std::uint8_t>(*b),
                          .slot = static_cast<std::uint8_t>(*s),
                          .function = static_cast<std::uint8_t>(*f)};
      }
    }
  }
  return absl::InvalidArgumentError("is not a PCI address of the form DDDD:BB:SS.F");
}

}  // namespace dp::core
